"""A client of a running server: a question in, the answer with its citations out.

Used by `plait ask` and by evaluation. It speaks plain HTTP to `/v1/chat/completions` and knows nothing else of serving.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from plait.errors import InvalidInput, ModelNotFound, Overloaded, PlaitError, Unavailable

_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class CitedPassage:
    """What an answer was given from; `score` says how near it is to the question, higher is nearer.

    `quote` is what the answer repeats of it word by word, empty where it repeats nothing.
    """

    source: str
    title: str
    heading: str
    text: str
    score: float
    quote: str


@dataclass(frozen=True)
class ChatAnswer:
    """An answer, the weights that gave it, how long it took, and the tokens that were read and written for it."""

    text: str
    model: str
    citations: tuple[CitedPassage, ...]
    total_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None


def ask(
    base_url: str, model: str, question: str, max_tokens: int, retrieval: Mapping[str, Any] | None = None
) -> ChatAnswer:
    """Ask one question, greedily; `retrieval`: how to retrieve for it, where it is not the server's way.

    Raises:
        Unavailable: when no server answers there.
        PlaitError: what the server says is wrong.
    """
    with httpx.Client(timeout=_TIMEOUT_S) as client:
        try:
            body = _request(model, question, max_tokens) | ({"retrieval": dict(retrieval)} if retrieval else {})
            response = client.post(f"{base_url}/v1/chat/completions", json=body)
        except httpx.HTTPError as error:
            raise unavailable(base_url, error) from None
    return _read(response)


async def ask_async(client: httpx.AsyncClient, base_url: str, model: str, question: str, max_tokens: int) -> ChatAnswer:
    """`ask`, for many questions at once over one client."""
    try:
        response = await client.post(
            f"{base_url}/v1/chat/completions", json=_request(model, question, max_tokens), timeout=_TIMEOUT_S
        )
    except httpx.HTTPError as error:
        raise unavailable(base_url, error) from None
    return _read(response)


def unavailable(base_url: str, error: Exception) -> Unavailable:
    """The sentence for a server that does not answer."""
    return Unavailable(f"No server answers at {base_url} ({type(error).__name__}).", "Start one: plait serve")


def _request(model: str, question: str, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}


def _cited(citation: dict[str, Any]) -> CitedPassage:
    return CitedPassage(
        source=citation["source"],
        title=citation["title"],
        heading=citation["heading"],
        text=citation["text"],
        score=citation["score"],
        quote=(citation["quote"] or {}).get("text", ""),
    )


def _read(response: httpx.Response) -> ChatAnswer:
    try:
        body = response.json()
    except ValueError:
        raise Unavailable(f"{response.url} answers with no JSON (status {response.status_code}).") from None
    if response.status_code != 200:
        kinds: dict[int, type[PlaitError]] = {400: InvalidInput, 404: ModelNotFound, 429: Overloaded, 503: Unavailable}
        message = body.get("error", {}).get("message", f"The server answered {response.status_code}.")
        raise kinds.get(response.status_code, PlaitError)(message)
    message, usage = body["choices"][0]["message"], body.get("usage") or {}
    return ChatAnswer(
        text=message["content"],
        model=body["plait"]["model"],
        citations=tuple(_cited(citation) for citation in message["annotations"]),
        total_ms=body["plait"]["timings_ms"]["total"],
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
    )
