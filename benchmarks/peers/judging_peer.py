"""What both peers that judge have in common: samples and scripts in, scores and what they cost out.

In: a JSON object a line. `{"script": …}` has verdicts that a judge is to give, `{"samples": …}` what a model is to
judge. Out: a JSON object a line. Whatever else the peer's package prints goes to the standard error.
"""

import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from openai import AsyncOpenAI

CONCURRENT = 4
TIMEOUT_S = 3600.0
"""A request may wait for as long as it takes: the machine that judges may be busy."""

Score = Callable[[dict[str, Any]], Awaitable[float]]


@dataclass
class Used:
    """What the endpoint has counted, of every request that it was sent."""

    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    async def count(self, response: httpx.Response) -> None:
        """A hook of httpx."""
        if response.request.url.path.endswith("/chat/completions"):
            self.calls += 1
            await response.aread()
            if response.is_success:
                usage = response.json()["usage"]
                self.prompt_tokens += usage["prompt_tokens"]
                self.generated_tokens += usage["completion_tokens"]


def http_client(used: Used) -> httpx.AsyncClient:
    """A client that counts and never gives up on a slow machine."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, event_hooks={"response": [used.count]})


def openai_client(url: str, used: Used) -> AsyncOpenAI:
    """A client of the endpoint that is judged by."""
    return AsyncOpenAI(base_url=url, api_key="none", http_client=http_client(used))


def serve(by_script: Score, by_model: Callable[[dict[str, Any], Used], Score]) -> None:
    """Answer line by line until the standard input ends.

    Args:
        by_script: the score of a metric whose judge gives the verdicts of a script.
        by_model: from where the model is to how a sample is scored.
    """
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        about = json.loads(line)
        found = asyncio.run(_scripts(about, by_script) if "script" in about else _samples(about, by_model))
        print(json.dumps(found), file=answers, flush=True)


async def _scripts(about: dict[str, Any], score: Score) -> dict[str, Any]:
    return {"scores": [(await _scored(score, one))["score"] for one in about["script"]]}


async def _samples(about: dict[str, Any], by_model: Callable[[dict[str, Any], Used], Score]) -> dict[str, Any]:
    used, places = Used(), asyncio.Semaphore(CONCURRENT)
    score = by_model(about, used)

    async def one(sample: dict[str, Any]) -> dict[str, Any]:
        async with places:
            return await _scored(score, sample)

    started = time.perf_counter()
    scores = await asyncio.gather(*map(one, about["samples"]))
    return {"scores": scores, "seconds": time.perf_counter() - started, **vars(used)}


async def _scored(score: Score, sample: dict[str, Any]) -> dict[str, Any]:
    """A score, or why there is none."""
    try:
        value = float(await score(sample))
    except Exception as error:  # whatever a package raises is a sample that it could not score
        return {"score": None, "problem": f"{type(error).__name__}: {error}"[:300]}
    return {"score": None, "problem": "NaN"} if math.isnan(value) else {"score": value, "problem": ""}
