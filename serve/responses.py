"""From events to OpenAI's response objects, whole or as server-sent events."""

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from plait.serve.calls import Call, Event
from plait.serve.engines.engine import FinishReason
from plait.serve.openai_errors import as_plait_error, error_body
from plait.serve.protocol import Citation, PlaitDetails, Usage

_REASONS: dict[FinishReason | None, str] = {"deadline": "length"}  # OpenAI's word for an answer that was cut off


@dataclass
class Answer:
    """An answer as it grows: what its events have said so far."""

    call: Call
    is_chat: bool
    started: float = field(default_factory=time.perf_counter)
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    text: str = ""
    last: Event = field(default_factory=lambda: Event("", 0, 0))
    first: Event | None = None
    ttft_ms: float = 0.0

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.is_chat else 'cmpl'}-{uuid.uuid4().hex}"

    def add(self, event: Event) -> str:
        """Take the next event; returns the text to send for it."""
        if self.first is None:
            self.first = event
            self.ttft_ms = self._elapsed_ms()
        text = event.text
        if self.is_chat and not self.text:
            text = text.lstrip()  # the space between "Answer:" and the answer belongs to the format
        self.text += text
        self.last = event
        return text

    def usage(self) -> Usage:
        prompt, generated = self.last.prompt_tokens, self.last.generated_tokens
        return Usage(prompt_tokens=prompt, completion_tokens=generated, total_tokens=prompt + generated)

    def details(self) -> PlaitDetails:
        timings = {"first_token": self.ttft_ms, "total": self._elapsed_ms()}
        retrieval = None
        if self.first is not None and self.first.retrieval_ms is not None:
            timings["retrieval"] = self.first.retrieval_ms
            retrieval = {"passages": len(self.first.passages)}
        return PlaitDetails(
            route="rag" if self.call.model.with_retrieval else "direct",
            model=self.last.answered_by,
            retrieval=retrieval,
            timings_ms={name: round(value, 1) for name, value in timings.items()},
            tokens=self.usage(),
        )

    def citations(self) -> list[dict[str, Any]]:
        passages = self.first.passages if self.first else ()
        return [
            Citation(
                chunk_id=p.chunk_id,
                source=p.source,
                title=p.title,
                start=p.start,
                end=p.end,
                score=round(p.score, 4),
                text=p.text,
            ).model_dump()
            for p in passages
        ]

    def whole(self) -> dict[str, Any]:
        """The response object of a request that does not stream."""
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": _REASONS.get(self.last.finish_reason, self.last.finish_reason),
            "logprobs": None,
        }
        if self.is_chat:
            choice["message"] = {"role": "assistant", "content": self.text, "annotations": self.citations()}
        else:
            choice["text"] = self.text
        return self._object([choice], is_chunk=False) | {
            "usage": self.usage().model_dump(),
            "plait": self.details().model_dump(),
        }

    def chunk(self, text: str) -> dict[str, Any]:
        """The object of one server-sent event; the last one carries citations and details."""
        is_last = self.last.finish_reason is not None
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": _REASONS.get(self.last.finish_reason, self.last.finish_reason),
            "logprobs": None,
        }
        if self.is_chat:
            choice["delta"] = {"content": text}
            if self.last is self.first:
                choice["delta"]["role"] = "assistant"
            if is_last:
                choice["delta"]["annotations"] = self.citations()
        else:
            choice["text"] = text
        return self._object([choice], is_chunk=True) | ({"plait": self.details().model_dump()} if is_last else {})

    def usage_chunk(self) -> dict[str, Any]:
        """The event after the last that `stream_options.include_usage` asks for."""
        return self._object([], is_chunk=True) | {"usage": self.usage().model_dump()}

    def _object(self, choices: list[dict[str, Any]], is_chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion" + (".chunk" if is_chunk else "")) if self.is_chat else "text_completion"
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": str(self.call.model),
            "choices": choices,
        }

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000


async def server_sent_events(
    answer: Answer, first: Event, rest: AsyncGenerator[Event], wants_usage: bool
) -> AsyncIterator[str]:
    """`data: …` lines for an answer whose first event is there already.

    An error on the way ends the stream with an error object: its HTTP status was sent long before.
    """
    async with aclosing(rest):  # a client that leaves closes this generator, and with it the request
        try:
            yield _data(answer.chunk(answer.add(first)))
            async for event in rest:
                text = answer.add(event)
                if text or event.finish_reason:
                    yield _data(answer.chunk(text))
            if wants_usage:
                yield _data(answer.usage_chunk())
        except Exception as error:
            yield _data({"error": error_body(as_plait_error(error)).model_dump()})
    yield "data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
