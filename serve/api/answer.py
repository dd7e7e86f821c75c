"""From events to OpenAI's response objects, whole or as server-sent events.

In: the events of every choice, in any order. Out: one answer whose choices are told apart by their index.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from pydantic import BaseModel

from plait.model_ids import ModelId
from plait.observability.tracing import trace_id
from plait.serve.api.choice import Choice
from plait.serve.api.citations import CitationLinks
from plait.serve.api.errors import as_plait_error, error_body
from plait.serve.api.generation_answers import (
    AnsweredFunction,
    AnsweredToolCall,
    ChatAnswerMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    Completion,
    CompletionChunk,
    TextChoice,
    TextChunkChoice,
    ToolCallDelta,
)
from plait.serve.api.open_webui import SourceEvent
from plait.serve.api.tool_calls import ToolCallReader
from plait.serve.messages.arguments import PriceOf, no_price
from plait.serve.messages.calls import Call, Event, answering
from plait.serve.messages.protocol import (
    ErrorResponse,
    PlaitDetails,
    PromptTokensDetails,
    RetrievalDetails,
    RouteDetails,
    Usage,
)

_NO_LINKS = CitationLinks()


class Answer:
    """An answer as it grows.

    Args:
        calls: what is asked, one call a prompt.
        is_chat: chat or completion.
        n: choices of each call.
        readers: one a choice, to find calls of tools in it; None where none may be called.
        links: addresses of what it cites.
        is_marked: whether the text shows what it cites.
        logprobs_shown: likeliest tokens beside each, where log-probabilities are shown.
        prompt_logprobs_shown: the same for the prompt's.
        names_ids: whether log-probabilities name tokens by their ids.
        price_of: of the tokens of a model id.
        is_for_open_webui: whether a stream has sources as Open WebUI shows them, in place of annotations.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        is_chat: bool,
        n: int = 1,
        readers: Sequence[ToolCallReader] | None = None,
        links: CitationLinks = _NO_LINKS,
        is_marked: bool = False,
        logprobs_shown: int | None = None,
        prompt_logprobs_shown: int | None = None,
        names_ids: bool = False,
        is_for_open_webui: bool = False,
        price_of: PriceOf = no_price,
    ) -> None:
        self._price_of = price_of
        self._is_for_open_webui = is_for_open_webui
        self.call = calls[0]
        self._is_chat, self._n = is_chat, n
        self._prompt_logprobs_shown = prompt_logprobs_shown
        self.choices = [
            Choice(
                i,
                is_chat,
                logprobs_shown,
                names_ids,
                is_echoed=self.call.is_echoed,
                keeps_spaces=self.call.continue_final_message,
                reader=readers[i] if readers else None,
                links=links,
                is_marked=is_marked,
            )
            for i in range(len(calls) * n)
        ]
        self._started = time.perf_counter()
        self._ttft_ms = 0.0
        self._unfinished = len(self.choices)
        self._head: dict[str, Any] = {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{self.call.request_id}",
            "object": "chat.completion" if is_chat else "text_completion",
            "created": int(time.time()),
            "model": str(self.call.model),
        }

    def add(self, index: int, event: Event) -> str:
        """Take the next event of a choice; returns the text to send for it."""
        if not self._ttft_ms:
            self._ttft_ms = self.elapsed_ms
        self._unfinished -= event.finish_reason is not None
        return self.choices[index].add(event)

    def usage(self) -> Usage:
        """Tokens of all choices; a prompt counts once however many answers it has."""
        prompts = [choice.last for choice in self.choices[:: self._n]]
        prompt = sum(event.prompt_tokens for event in prompts)
        generated = sum(choice.last.generated_tokens for choice in self.choices)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=generated,
            total_tokens=prompt + generated,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(event.cached_tokens for event in prompts)),
        )

    def details(self) -> PlaitDetails:
        """What happened on the way; of the first choice where there are several."""
        first = self.choices[0].first
        timings = {"first_token": self._ttft_ms, "total": self.elapsed_ms}
        retrieval = None
        if first is not None and first.retrieved is not None:
            found = first.retrieved
            took_ms = found.timings_ms["total"]
            stages = {name: value for name, value in found.timings_ms.items() if name != "total"}
            timings |= {"retrieval": took_ms} | stages | {"generate": timings["total"] - took_ms}
            retrieval = RetrievalDetails(
                collection=", ".join(found.collections),
                mode=found.how.mode,
                rerank=found.how.rerank,
                found=len(found.passages),
                passages=len(first.passages),
                no_context=found.no_context,
                truncated=found.is_cut,
            )
        tokens = self.usage()
        arm = answering(self.call, first)
        price = self._price_of(arm)
        is_late = any(choice.last.finish_reason == "deadline" for choice in self.choices)
        return PlaitDetails(
            route=_route(arm, first),
            model=self.choices[0].last.answered_by,
            retrieval=retrieval,
            timings_ms={name: round(value, 1) for name, value in timings.items()},
            tokens=tokens,
            cost=price.cost(tokens.prompt_tokens, tokens.completion_tokens) if price else None,
            trace_id=trace_id(self.call.traceparent),
            stopped_by="deadline" if is_late else None,
        )

    def whole(self) -> ChatCompletion | Completion:
        """The response object of a request that does not stream."""
        rest = self._head | {"usage": self.usage(), "plait": self.details()}
        if self._is_chat:
            rest |= self._of_prompt(self.choices[0])
            return ChatCompletion(choices=[self._chat_choice(choice) for choice in self.choices], **rest)
        choices = [
            TextChoice(
                index=choice.index,
                text=choice.text,
                logprobs=choice.text_logprobs(0),
                finish_reason=_text_finish(choice) or "stop",
                **self._of_prompt(choice),
            )
            for choice in self.choices
        ]
        return Completion(choices=choices, **rest)

    def _of_prompt(self, choice: Choice) -> dict[str, Any]:
        """What is added where the prompt's log-probabilities are asked for."""
        shown = self._prompt_logprobs_shown
        return {} if shown is None else {"prompt_logprobs": choice.prompt_logprobs(shown)}

    def chunks(self, index: int, event: Event) -> list[BaseModel]:
        """What to send for an event, which may be nothing; the last of a choice carries its citations."""
        choice = self.choices[index]
        told = len(choice.logprobs)
        text = self.add(index, event)
        if self._is_chat:
            return self._chat_chunks(choice, event, text)
        if not (text or event.finish_reason or event.logprobs):
            return []
        piece = TextChunkChoice(
            index=index,
            text=text,
            logprobs=choice.text_logprobs(told),
            finish_reason=_text_finish(choice),
        )
        return [CompletionChunk(choices=[piece], **self._chunk_head(), **self._ending())]

    def usage_chunk(self) -> BaseModel:
        """The event after the last that `stream_options.include_usage` asks for."""
        kind = ChatCompletionChunk if self._is_chat else CompletionChunk
        return kind(choices=[], usage=self.usage(), **self._chunk_head())

    def _chat_choice(self, choice: Choice) -> ChatChoice:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "annotations": choice.citations()}
        if choice.tool_calls:
            message["content"] = choice.text or None
            message["tool_calls"] = [
                AnsweredToolCall(id=c.id, type="function", function=_function(c.name, c.arguments))
                for c in choice.tool_calls
            ]
        return ChatChoice(
            index=choice.index,
            message=ChatAnswerMessage(**message),
            logprobs=choice.chat_logprobs(choice.logprobs),
            finish_reason=choice.finish_reason or "stop",
        )

    def _chat_chunks(self, choice: Choice, event: Event, text: str) -> list[BaseModel]:
        is_first, is_last = event is choice.first, event.finish_reason is not None
        deltas: list[ChatDelta] = []
        if text or is_first or event.logprobs:
            deltas.append(ChatDelta(content=text, **({"role": "assistant"} if is_first else {})))
        for i, call in enumerate(choice.tool_calls):
            function = _function(call.name, call.arguments)
            deltas.append(
                ChatDelta(tool_calls=[ToolCallDelta(index=i, id=call.id, type="function", function=function)])
            )
        if is_last:
            if choice.tool_calls or not deltas:
                deltas.append(ChatDelta())
            annotations = [] if self._is_for_open_webui else choice.citations()
            deltas[-1] = ChatDelta(**deltas[-1].model_dump(exclude_unset=True), annotations=annotations)
        chunks: list[BaseModel] = self._source_chunks(choice) if is_last else []
        for i, delta in enumerate(deltas):
            is_end = is_last and i == len(deltas) - 1
            piece = ChatChunkChoice(
                index=choice.index,
                delta=delta,
                logprobs=choice.chat_logprobs(event.logprobs) if i == 0 else None,
                finish_reason=choice.finish_reason if is_end else None,
            )
            ending = self._ending() if is_end else {}
            chunks.append(ChatCompletionChunk(choices=[piece], **self._chunk_head(), **ending))
        return chunks

    def _chunk_head(self) -> dict[str, Any]:
        return self._head | ({"object": "chat.completion.chunk"} if self._is_chat else {})

    def _ending(self) -> dict[str, Any]:
        return {} if self._unfinished else {"plait": self.details()}

    def _source_chunks(self, choice: Choice) -> list[BaseModel]:
        """What was in a choice's prompt, for Open WebUI, best first."""
        if not self._is_for_open_webui or choice.first is None:
            return []
        events = [SourceEvent.of(passage) for passage in choice.first.passages]
        return [ChatCompletionChunk(choices=[], event=event, **self._chunk_head()) for event in events]

    @property
    def elapsed_ms(self) -> float:
        """Since it was asked for."""
        return (time.perf_counter() - self._started) * 1000


async def server_sent_events(
    answer: Answer, first: tuple[int, Event], rest: AsyncGenerator[tuple[int, Event]], wants_usage: bool
) -> AsyncIterator[str]:
    """`data: …` lines for an answer whose first event is there already.

    An error on the way ends the stream with an error object: its HTTP status was sent long before.
    """
    async with aclosing(rest):  # a client that leaves closes this generator, and with it the request
        try:
            for chunk in answer.chunks(*first):
                yield _data(chunk)
            async for index, event in rest:
                for chunk in answer.chunks(index, event):
                    yield _data(chunk)
            if wants_usage:
                yield _data(answer.usage_chunk())
        except Exception as error:
            yield f"data: {ErrorResponse(error=error_body(as_plait_error(error))).model_dump_json()}\n\n"
    yield "data: [DONE]\n\n"


def _data(chunk: BaseModel) -> str:
    return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"


def _function(name: str, arguments: str) -> AnsweredFunction:
    return AnsweredFunction(name=name, arguments=arguments)


def _text_finish(choice: Choice) -> Any:
    return choice.finish_reason


def _route(arm: ModelId, first: Event | None) -> RouteDetails:
    kind: Literal["direct", "rag"] = "rag" if arm.with_retrieval else "direct"
    route = None if first is None else first.route
    if route is None:
        return RouteDetails(kind=kind, arm=str(arm))
    return RouteDetails(
        kind=kind,
        arm=str(arm),
        policy=route.policy,
        reason=route.reason,
        probabilities={name: round(value, 4) for name, value in route.probabilities.items()},
        expected_quality=route.expected_quality,
        expected_tokens=route.expected_tokens,
        explored=route.is_explored,
        propensity=route.propensity,
    )
