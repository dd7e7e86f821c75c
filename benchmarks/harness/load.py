"""One client for every system: so many completions at a time, streamed, and how fast they came.

In: what makes one completion, or a server's address that makes them. Out: tokens a second and times to first token. It
knows no system.
"""

import asyncio
import importlib.metadata
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Completion:
    """What is asked for: `prompt` continued by `model` for exactly `tokens` tokens, greedily."""

    model: str
    prompt: str
    tokens: int


@dataclass(frozen=True)
class Timing:
    """How one completion went; seconds from the moment it was sent."""

    tokens: int
    first_token_s: float


@dataclass(frozen=True)
class Load:
    """What a round of completions measured."""

    tokens_per_second: float
    ttft_p50_s: float


Complete = Callable[[Completion], Awaitable[Timing]]


def prompts(tokenizer: Any, tokens: int, count: int) -> list[str]:
    """Texts of exactly so many tokens, BOS included, no two with the same beginning.

    They are what the installed Python packages say of themselves.
    """
    found: dict[tuple[int, ...], str] = {}
    for distribution in sorted(importlib.metadata.distributions(), key=lambda d: str(d.metadata["Name"])):
        ids = tokenizer.encode(str(distribution.metadata.get_payload() or "")[:200_000], add_special_tokens=False)
        for start in range(0, len(ids) - tokens, tokens):
            text = tokenizer.decode(ids[start : start + tokens - 1])
            again = tokenizer.encode(text, add_special_tokens=False)
            if len(again) == tokens - 1:
                found.setdefault(tuple(again[:8]), text)
            if len(found) == count:
                return list(found.values())
    raise SystemExit(f"There are only {len(found)} texts of {tokens} tokens here, not {count}.")


async def closed_loop(jobs: Iterable[T], do: Callable[[T], Awaitable[R]], concurrent: int) -> list[R]:
    """Do all jobs, so many at a time; the next starts when one ends. Returns their results as they came."""
    left, done = iter(jobs), list[R]()

    async def worker() -> None:
        for job in left:
            done.append(await do(job))

    await asyncio.gather(*(worker() for _ in range(concurrent)))
    return done


async def run(complete: Complete, wanted: Sequence[Completion], concurrent: int) -> Load:
    """Make all completions, so many at a time; the next starts when one ends."""
    started = time.perf_counter()
    timings = await closed_loop(wanted, complete, concurrent)
    seconds = time.perf_counter() - started
    short = [t for t, w in zip(timings, wanted, strict=True) if t.tokens != w.tokens]
    if short:
        raise SystemExit(f"{len(short)} completions had another number of tokens than asked for ({short[0].tokens}).")
    return Load(sum(t.tokens for t in timings) / seconds, median(t.first_token_s for t in timings))


class HttpClient:
    """Completions of a server that speaks OpenAI's protocol."""

    def __init__(self, base_url: str, concurrent: int) -> None:
        limits = httpx.Limits(max_connections=concurrent, max_keepalive_connections=concurrent)
        self._client = httpx.AsyncClient(base_url=base_url, timeout=600, limits=limits, trust_env=False)

    async def __aenter__(self) -> "HttpClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def complete(self, completion: Completion) -> Timing:
        body = {
            "model": completion.model,
            "prompt": completion.prompt,
            "max_tokens": completion.tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        sent = time.perf_counter()
        first, tokens = 0.0, 0
        async with self._client.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != 200:
                raise SystemExit(f"{response.url} answered {response.status_code}: {(await response.aread())[:500]!r}")
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                first = first or time.perf_counter() - sent
                event = json.loads(line.removeprefix("data: "))
                if "error" in event:
                    raise SystemExit(f"{response.url} failed: {event['error']}")
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        return Timing(tokens, first)
