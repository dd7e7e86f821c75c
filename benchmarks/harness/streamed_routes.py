"""The same questions by /v1/chat/completions and by /v1/responses, streamed: how fast the answers came.

In: questions, and an address. Out: tokens of all answers, and how many came a second. What comes is read at the end of
each answer, so that the client takes as little of the processors as it can.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from harness.load import closed_loop

ROUTES = ("chat", "responses")


@dataclass(frozen=True)
class Answers:
    """The answers to some questions: the tokens of each, and the seconds until the last had come."""

    lengths_tokens: tuple[int, ...]
    seconds: float

    @property
    def tokens(self) -> int:
        return sum(self.lengths_tokens)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


async def answers(url: str, route: str, questions: Sequence[str], longest_tokens: int, concurrent: int) -> Answers:
    """Ask all questions, so many at a time. Answers may be shorter: chat formats have stop texts of their own."""
    async with httpx.AsyncClient(base_url=url, timeout=600, trust_env=False) as http:
        lengths: dict[str, int] = {}

        async def ask(question: str) -> None:
            path, body = _request(route, question, longest_tokens)
            async with http.stream("POST", path, json=body) as response:
                text = b"".join([piece async for piece in response.aiter_raw()]).decode()
                if response.status_code != 200:
                    raise SystemExit(f"{path} answered {response.status_code}: {text[:500]}")
            lengths[question] = _generated_tokens(text)

        started = time.perf_counter()
        await closed_loop(questions, ask, concurrent)
        return Answers(tuple(lengths[question] for question in questions), time.perf_counter() - started)


def _request(route: str, question: str, longest_tokens: int) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": "base", "temperature": 0, "ignore_eos": True, "stream": True}
    if route == "responses":
        return "/v1/responses", body | {"input": question, "max_output_tokens": longest_tokens}
    messages = [{"role": "user", "content": question}]
    body |= {"messages": messages, "max_completion_tokens": longest_tokens, "stream_options": {"include_usage": True}}
    return "/v1/chat/completions", body


def _generated_tokens(stream: str) -> int:
    """What the last event with usage says."""
    data = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    for event in map(json.loads, reversed(data)):
        if usage := event.get("usage") or (event.get("response") or {}).get("usage"):
            return int(usage.get("completion_tokens") or usage.get("output_tokens"))
    raise SystemExit(f"A stream ended without its usage: {stream[-500:]}")
