"""Sends requests over HTTP and says how each ended: whether the answer was whole, and how long it took.

In: requests of any route that answers with JSON or server-sent events. Out: an outcome each. It judges by what the
protocols of OpenAI and Anthropic promise, not by what an answer says.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from harness.shapes import RESPONSE, Request

_ENDS = ("[DONE]", "response.completed", "response.incomplete", "message_stop")
_RESULTS = ("choices", "output", "content", "data", "results", "input_tokens")


@dataclass(frozen=True)
class Outcome:
    """How one request ended. `error`: None where it ended as it should."""

    request: Request
    seconds: float
    error: str | None


class Replay:
    """A client that sends requests of all kinds; conversations that are kept go on where one of its answers ended."""

    def __init__(self, base_url: str, concurrent: int) -> None:
        limits = httpx.Limits(max_connections=concurrent, max_keepalive_connections=concurrent)
        self._http = httpx.AsyncClient(base_url=base_url, timeout=600, limits=limits, trust_env=False)
        self._response_id: str | None = None

    async def __aenter__(self) -> "Replay":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, request: Request) -> Outcome:
        body = {key: self._response_id if value == RESPONSE else value for key, value in request.body.items()}
        began = time.perf_counter()
        try:
            error = await self._error_of(request, body)
        except (httpx.HTTPError, json.JSONDecodeError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        return Outcome(request, time.perf_counter() - began, error)

    async def _error_of(self, request: Request, body: dict[str, Any]) -> str | None:
        """What was wrong with the answer; None when nothing was."""
        shape = request.shape
        async with self._http.stream("POST", shape.path, json=body) as response:
            if response.status_code != 200:
                told = (await response.aread()).decode(errors="replace")
                return None if shape.refused and response.status_code == 400 else f"{response.status_code}: {told}"
            if shape.refused:
                return "200, although it cannot be answered"
            if not request.is_streamed:
                return self._error_of_whole(json.loads(await response.aread()), shape.path)
            last = ""
            async for line in response.aiter_lines():
                if not line.startswith("data: "):
                    continue
                last = line.removeprefix("data: ")
                if last != "[DONE]":
                    event = json.loads(last)
                    if event.get("type") == "error" or event.get("error"):
                        return f"in the stream: {last}"
                    last = event.get("type", "")
            return None if last in _ENDS else f"the stream ended with '{last}'"

    def _error_of_whole(self, answer: dict[str, Any], path: str) -> str | None:
        if answer.get("error") or not any(answer.get(name) for name in _RESULTS):
            return f"200, with {json.dumps(answer)[:300]}"
        if path == "/v1/responses" and answer["store"]:
            self._response_id = answer["id"]
        return None
