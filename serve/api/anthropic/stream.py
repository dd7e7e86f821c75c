"""From events to Anthropic's message, whole or as its typed events.

In: the events of one call. Out: blocks of text and of calls; every block of a stream begins, grows and ends by an event
of its own. How a call is found in the text is in tool_calls.py.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from plait.models.message import ToolCall
from plait.serve.api.answer import Answer
from plait.serve.api.anthropic.answers import (
    AnsweredMessage,
    AnsweredText,
    AnsweredToolUse,
    CharLocation,
    CitationsDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    MessageUsage,
    Ping,
    StopDelta,
    StopReason,
    TextBlockDelta,
)
from plait.serve.api.error_shapes import AnthropicError
from plait.serve.api.errors import as_plait_error, error_body
from plait.serve.api.merged_events import Indexed
from plait.serve.messages.calls import Event

_STOP_REASONS: dict[str, StopReason] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessageAnswer:
    """One message as it grows. `answer`: of one choice, at its beginning."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        (self._choice,) = answer.choices
        self._is_text_open = False

    def whole(self) -> AnsweredMessage:
        """The message of a request that does not stream, once its answer is whole."""
        content: list[AnsweredText | AnsweredToolUse] = []
        if self._choice.text:
            content.append(AnsweredText(type="text", text=self._choice.text, citations=self._citations() or None))
        content += [self._tool_use(call, _input(call.arguments)) for call in self._choice.tool_calls]
        return self._message(
            content, self._stop_reason(), stop_sequence=self._stop_sequence(), plait=self._answer.details()
        )

    def events(self, event: Event) -> list[BaseModel]:
        """What to send for an event of the model, which may be nothing."""
        text = self._answer.add(0, event)
        sent: list[BaseModel] = []
        if event is self._choice.first:
            sent += [MessageStart(message=self._message([], None)), Ping()]
        if text:
            if not self._is_text_open:
                self._is_text_open = True
                sent.append(ContentBlockStart(index=0, content_block=AnsweredText(text="")))
            sent.append(ContentBlockDelta(index=0, delta=TextBlockDelta(text=text)))
        return sent + (self._end() if event.finish_reason else [])

    def _end(self) -> list[BaseModel]:
        sent: list[BaseModel] = []
        if self._is_text_open:
            sent += [ContentBlockDelta(index=0, delta=CitationsDelta(citation=c)) for c in self._citations()]
            sent.append(ContentBlockStop(index=0))
        for index, call in enumerate(self._choice.tool_calls, start=int(self._is_text_open)):
            sent += [
                ContentBlockStart(index=index, content_block=self._tool_use(call, {})),
                ContentBlockDelta(index=index, delta=InputJsonDelta(partial_json=call.arguments)),
                ContentBlockStop(index=index),
            ]
        usage, plait = MessageUsage.of(self._answer.usage()), self._answer.details()
        return [
            *sent,
            MessageDelta(
                delta=StopDelta(stop_reason=self._stop_reason(), stop_sequence=self._stop_sequence()),
                usage=usage,
                plait=plait,
            ),
            MessageStop(),
        ]

    def _message(self, content: list[Any], stop_reason: StopReason | None, **more: Any) -> AnsweredMessage:
        call = self._answer.call
        return AnsweredMessage(
            id=f"msg_{call.request_id}",
            model=str(call.model),
            content=content,
            stop_reason=stop_reason,
            usage=MessageUsage.of(self._answer.usage()),
            **more,
        )

    def _stop_reason(self) -> StopReason:
        reason = _STOP_REASONS[self._choice.finish_reason or "stop"]
        return "stop_sequence" if reason == "end_turn" and self._stop_sequence() is not None else reason

    def _stop_sequence(self) -> str | None:
        """Of those of the request; a chat format has some of its own."""
        met = self._choice.last.stop_string
        return met if met in self._answer.call.sampling.stop else None

    def _citations(self) -> list[CharLocation]:
        return [CharLocation.of(citation, i) for i, citation in enumerate(self._choice.citations())]

    def _tool_use(self, call: ToolCall, given: dict[str, Any]) -> AnsweredToolUse:
        return AnsweredToolUse(id=f"toolu_{call.id.removeprefix('call_')}", name=call.name, input=given)


async def server_sent_events(
    answer: MessageAnswer, first: Event, rest: AsyncGenerator[Indexed], request_id: str
) -> AsyncIterator[str]:
    """`event: …` and `data: …` lines for an answer whose first event is there already.

    An error on the way ends the stream with an event of its own: its HTTP status was sent long before.
    """
    async with aclosing(rest):  # a client that leaves closes this generator, and with it the request
        try:
            for said in answer.events(first):
                yield _lines(said)
            async for _, event in rest:
                for said in answer.events(event):
                    yield _lines(said)
        except Exception as error:
            known = as_plait_error(error)
            yield _lines(AnthropicError.of(known.http_status, error_body(known), request_id))


def _lines(event: Any) -> str:
    return f"event: {event.type}\ndata: {event.model_dump_json()}\n\n"


def _input(arguments: str) -> dict[str, Any]:
    """The arguments of a call; what there is of them, where max_tokens cut them off."""
    try:
        given = from_json(arguments, allow_partial="trailing-strings")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}
