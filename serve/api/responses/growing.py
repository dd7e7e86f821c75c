"""A response as it grows: OpenAI's response object, and the typed events of a stream.

In: the events of one call. Out: at any time the response as it stands, or what is new of it as typed events,
in OpenAI's order: search, message with text and citations, calls. It knows neither HTTP nor what is kept.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from plait.documents.uploads.uploaded_files import as_file
from plait.errors import PlaitError
from plait.index.passage import Passage
from plait.serve.api.answer import Answer
from plait.serve.api.citations import Citation
from plait.serve.api.errors import error_body
from plait.serve.api.responses.events import (
    AnnotationAdded,
    ArgumentsDelta,
    ArgumentsDone,
    ErrorEvent,
    FileSearchState,
    ItemState,
    PartState,
    ResponseState,
    TextDelta,
    TextDone,
    TypedEvent,
)
from plait.serve.api.responses.objects import (
    Annotation,
    FileAnnotation,
    FileSearchCall,
    FileSearchResult,
    IncompleteDetails,
    InputTokensDetails,
    ItemStatus,
    OutputFunctionCall,
    OutputItem,
    OutputMessage,
    OutputText,
    Response,
    ResponseError,
    ResponseUsage,
    Status,
    UrlAnnotation,
)
from plait.serve.api.responses.requests import ResponseRequest
from plait.serve.api.responses.storage import item_id
from plait.serve.messages.calls import Event


class GrowingResponse:
    """One response.

    Args:
        id: of the response.
        request: what it answers.
        answer: what its text and its calls grow in.
        first_place: how many items the response has before those of its output.
    """

    def __init__(self, id: str, request: ResponseRequest, answer: Answer, first_place: int) -> None:
        self.id = id
        self._request, self._answer, self._first_place = request, answer, first_place
        self._repeated = request.repeated()
        self._annotations: list[Annotation] | None = None
        self._choice = answer.choices[0]
        self._created_at = int(time.time())
        self._number = 0
        self._has_message = False
        self._sent_logprobs = 0

    @property
    def _has_searched(self) -> bool:
        """Whether the tool file_search was used for the answer, as its first event says."""
        first = self._choice.first
        return self._request.file_search is not None and first is not None and first.retrieved is not None

    @property
    def final_status(self) -> Status:
        """How an answer ended whose events have come."""
        return "incomplete" if self._choice.finish_reason == "length" else "completed"

    def response(self, status: Status, error: PlaitError | None = None) -> Response:
        """The response as it stands."""
        has_begun = self._choice.first is not None
        is_over = status not in ("queued", "in_progress")
        return Response(
            id=self.id,
            created_at=self._created_at,
            completed_at=int(time.time()) if status == "completed" else None,
            status=status,
            error=_error(error) if error else None,
            incomplete_details=self._why_incomplete() if status == "incomplete" else None,
            output=self._output("completed" if status == "completed" else "incomplete") if is_over else [],
            store=self._request.store,
            usage=self._usage() if is_over and has_begun else None,
            plait=self._answer.details() if is_over and has_begun else None,
            **self._repeated,
        )

    def begin(self) -> Iterator[TypedEvent]:
        """The events before the first of the model."""
        kinds: tuple[Any, ...] = ("response.created", "response.in_progress")
        for kind in kinds:
            yield ResponseState(type=kind, response=self.response("in_progress"), **self._numbered())

    def add(self, event: Event) -> Iterator[TypedEvent]:
        """Take the next event of the model; gives the events to send for it."""
        is_first = self._choice.first is None
        text = self._answer.add(0, event)
        if is_first and self._has_searched:
            yield from self._search_events()
        if text:
            if not self._has_message:
                yield from self._begin_message()
            yield self._text_delta(text)

    def end(self) -> Iterator[TypedEvent]:
        """The events after the last of the model, but for the state of the whole."""
        status: ItemStatus = "completed" if self.final_status == "completed" else "incomplete"
        if not self._has_message and not self._choice.tool_calls:
            yield from self._begin_message()
        if self._has_message:
            if self._sent_logprobs < len(self._choice.logprobs):  # of text that was held back as a call of a function
                yield self._text_delta("")
            yield from self._end_message(self._message(status))
        for index, item in enumerate(self._function_calls(status), start=self._first_call_index):
            yield from self._call_events(index, item)

    def last(self, response: Response) -> TypedEvent:
        """The last event. OpenAI has none for a response that somebody ended: it is incomplete."""
        kind: Any = f"response.{'incomplete' if response.status == 'cancelled' else response.status}"
        return ResponseState(type=kind, response=response, **self._numbered())

    def failure(self, error: PlaitError) -> Iterator[TypedEvent]:
        """The events that end a response which fails."""
        body = error_body(error)
        yield ErrorEvent(code=body.code, message=body.message, param=body.param, **self._numbered())
        yield ResponseState(type="response.failed", response=self.response("failed", error), **self._numbered())

    def _output(self, status: ItemStatus) -> list[OutputItem]:
        search: list[OutputItem] = [self._search_call("completed")] if self._has_searched else []
        calls = self._function_calls(status)
        has_message = bool(self._choice.text or self._has_message or not calls) and self._choice.first is not None
        return [*search, *([self._message(status)] if has_message else []), *calls]

    def _why_incomplete(self) -> IncompleteDetails:
        is_late = self._choice.last.finish_reason == "deadline"
        return IncompleteDetails(reason=None if is_late else "max_output_tokens")

    def _usage(self) -> ResponseUsage:
        usage = self._answer.usage()
        return ResponseUsage(
            input_tokens=usage.prompt_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=usage.prompt_tokens_details.cached_tokens),
            output_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        )

    # ------------------------------------------------------------ the search

    def _search_call(self, status: Any) -> FileSearchCall:
        found = self._choice.first.retrieved if self._choice.first else None
        asked = [message.content for message in self._answer.call.messages or () if message.role == "user"]
        results = None
        if self._request.wants_results and status == "completed":
            results = [_result(passage) for passage in (found.passages if found else ())]
        return FileSearchCall(id=self._id("fs", 0), status=status, queries=asked[-1:], results=results)

    def _search_events(self) -> Iterator[TypedEvent]:
        item = self._search_call("in_progress")
        yield ItemState(type="response.output_item.added", output_index=0, item=item, **self._numbered())
        for kind in ("in_progress", "searching", "completed"):
            state: Any = f"response.file_search_call.{kind}"
            yield FileSearchState(type=state, item_id=item.id, output_index=0, **self._numbered())
        done = self._search_call("completed")
        yield ItemState(type="response.output_item.done", output_index=0, item=done, **self._numbered())

    # ------------------------------------------------------------ the message

    @property
    def _message_index(self) -> int:
        return int(self._has_searched)

    def _message(self, status: ItemStatus) -> OutputMessage:
        logprobs = self._choice.chat_logprobs(self._choice.logprobs)
        text = OutputText(
            text=self._choice.text, annotations=self._cited(), logprobs=logprobs.content if logprobs else []
        )
        return OutputMessage(id=self._id("msg", self._message_index), status=status, content=[text])

    def _cited(self) -> list[Annotation]:
        """What the text cites; looked for once, as nobody asks before the text is whole."""
        if self._annotations is None:
            cited = self._choice.citations()
            self._annotations = [*_file_annotations(cited)] if self._has_searched else [*map(UrlAnnotation.of, cited)]
        return self._annotations

    def _begin_message(self) -> Iterator[TypedEvent]:
        self._has_message = True
        item = OutputMessage(id=self._id("msg", self._message_index), status="in_progress", content=[])
        added: Any = {"output_index": self._message_index, "item": item}
        yield ItemState(type="response.output_item.added", **added, **self._numbered())
        yield PartState(type="response.content_part.added", part=OutputText(text=""), **self._of_text())

    def _text_delta(self, text: str) -> TextDelta:
        """The text to send, with the log-probabilities of all tokens since the last delta."""
        logprobs = self._choice.chat_logprobs(self._choice.logprobs[self._sent_logprobs :])
        self._sent_logprobs = len(self._choice.logprobs)
        return TextDelta(delta=text, logprobs=logprobs.content if logprobs else [], **self._of_text())

    def _end_message(self, item: OutputMessage) -> Iterator[TypedEvent]:
        (part,) = item.content
        for i, annotation in enumerate(part.annotations):
            yield AnnotationAdded(annotation_index=i, annotation=annotation, **self._of_text())
        yield TextDone(text=part.text, logprobs=part.logprobs, **self._of_text())
        yield PartState(type="response.content_part.done", part=part, **self._of_text())
        done: Any = {"output_index": self._message_index, "item": item}
        yield ItemState(type="response.output_item.done", **done, **self._numbered())

    # ------------------------------------------------------------ calls of functions

    @property
    def _first_call_index(self) -> int:
        return self._message_index + bool(self._choice.text or self._has_message)

    def _function_calls(self, status: ItemStatus) -> list[OutputFunctionCall]:
        return [
            OutputFunctionCall(
                id=self._id("fc", i), status=status, call_id=call.id, name=call.name, arguments=call.arguments
            )
            for i, call in enumerate(self._choice.tool_calls, start=self._first_call_index)
        ]

    def _call_events(self, index: int, item: OutputFunctionCall) -> Iterator[TypedEvent]:
        begun = item.model_copy(update={"status": "in_progress", "arguments": ""})
        of_it: Any = {"item_id": item.id, "output_index": index}
        yield ItemState(type="response.output_item.added", output_index=index, item=begun, **self._numbered())
        yield ArgumentsDelta(delta=item.arguments, **of_it, **self._numbered())
        yield ArgumentsDone(name=item.name, arguments=item.arguments, **of_it, **self._numbered())
        yield ItemState(type="response.output_item.done", output_index=index, item=item, **self._numbered())

    # ------------------------------------------------------------ ids and numbers

    def _id(self, kind: str, index: int) -> str:
        return item_id(kind, self.id, self._first_place + index)

    def _of_text(self) -> dict[str, Any]:
        index = self._message_index
        return {"item_id": self._id("msg", index), "output_index": index} | self._numbered()

    def _numbered(self) -> dict[str, Any]:
        self._number += 1
        return {"sequence_number": self._number - 1}


def _file_annotations(cited: Sequence[Citation]) -> Iterator[FileAnnotation]:
    """The files whose words the text repeats, else those of all passages in its prompt; each once at one place."""
    seen: set[tuple[str, int]] = set()
    for citation in [each for each in cited if each.quote is not None] or cited:
        file_id, filename = as_file(citation.source)
        at = citation.url_citation.end_index
        if (file_id, at) not in seen:
            seen.add((file_id, at))
            yield FileAnnotation(file_id=file_id, filename=filename, index=at)


def _result(passage: Passage) -> FileSearchResult:
    file_id, filename = as_file(passage.source)
    attributes = {key: value for key, value in passage.metadata.items() if isinstance(value, str | float | int)}
    return FileSearchResult(
        file_id=file_id, filename=filename, score=round(passage.score, 4), attributes=attributes, text=passage.text
    )


def _error(error: PlaitError) -> ResponseError:
    body = error_body(error)
    codes: dict[int, Any] = {429: "rate_limit_exceeded", 400: "invalid_prompt"}
    return ResponseError(code=codes.get(error.http_status, "server_error"), message=body.message)
