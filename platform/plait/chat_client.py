"""A client of a running server: a question in, the answer with its citations out.

Used by `plait ask` and by evaluation. It speaks plain HTTP to `/v1/chat/completions`, `/v1/models` and `/v1/retrieve`,
and knows nothing else of serving.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx

from plait.errors import Forbidden, InvalidInput, ModelNotFound, Overloaded, PlaitError, Unauthorized, Unavailable
from plait.settings import settings

_TIMEOUT_S = 300.0
_KINDS: dict[int, type[PlaitError]] = {
    400: InvalidInput,
    401: Unauthorized,
    403: Forbidden,
    404: ModelNotFound,
    429: Overloaded,
    503: Unavailable,
}
NO_SERVER = "Start one: plait serve"
"""What to do where no server of ours answers."""
NO_KEY = "Here that is PLAIT_API_KEY."
"""Where a key is, which a server of ours refuses."""
TASK_HEADER = "X-OpenWebUI-Task"
"""Says that a client asks for itself, and what for: no passages are found for its answer, and nobody judges it. Open
WebUI sends it, as `title_generation`, where a connection has the header `{"X-OpenWebUI-Task": "{{TASK}}"}`; any client
may. Empty: a question of its user."""


@dataclass(frozen=True)
class CitedPassage:
    """A passage that stood in the prompt of an answer.

    Attributes:
        chunk_id: the chunk in its collection.
        start, end: characters in the cleaned text of `source`.
        score: how near it is to the question, higher is nearer.
        quote: what the answer repeats of it word by word, empty where it repeats nothing.
        cited_at: the characters of the answer that repeat it, start and end; None where none do.
    """

    source: str
    title: str
    heading: str
    text: str
    score: float
    quote: str
    chunk_id: str
    start: int
    end: int
    cited_at: tuple[int, int] | None


@dataclass(frozen=True)
class ChatAnswer:
    """An answer.

    Attributes:
        model: the weights that gave it.
        citations: the passages of its prompt, best first.
        is_grounded: whether passages were looked for, found or not.
        timings_ms: by stage; `total` is from the request to the last token.
        cached_tokens: of the prompt, those that were computed before. Counts are None where the server has none.
        finish_reason: why it ended, in OpenAI's words.
    """

    text: str
    model: str
    citations: tuple[CitedPassage, ...]
    is_grounded: bool
    timings_ms: Mapping[str, float]
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None = None
    finish_reason: str = ""

    @property
    def total_ms(self) -> float:
        return self.timings_ms["total"]


@dataclass(frozen=True)
class Sent:
    """How an answer is drawn. `seed` makes it repeatable where the temperature is above 0."""

    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None


def ask(
    base_url: str, model: str, question: str, max_tokens: int, retrieval: Mapping[str, Any] | None = None
) -> ChatAnswer:
    """Ask one question, greedily; `retrieval`: how to retrieve for it, where it is not the server's way.

    Raises:
        Unavailable: when no server answers there.
        PlaitError: what the server says is wrong.
    """
    with httpx.Client(timeout=_TIMEOUT_S, headers=headers()) as client:
        try:
            body = _request(model, [{"role": "user", "content": question}], Sent(max_tokens), retrieval)
            response = client.post(f"{base_url}/v1/chat/completions", json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unavailable(base_url, error) from None
    return _read(response)


async def ask_async(
    client: httpx.AsyncClient, base_url: str, model: str, conversation: Sequence[Mapping[str, str]], how: Sent
) -> ChatAnswer:
    """Ask a conversation of messages (`role`, `content`), for many at once over one client.

    Raises:
        Unavailable: when no server answers there.
        PlaitError: what the server says is wrong.
    """
    try:
        response = await client.post(
            f"{base_url}/v1/chat/completions", json=_request(model, conversation, how), timeout=_TIMEOUT_S
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unavailable(base_url, error) from None
    return _read(response)


async def models_async(client: httpx.AsyncClient, base_url: str) -> dict[str, str]:
    """The models that a server lets us ask, by id, each with where its weights are from (empty: it does not say)."""
    try:
        response = await client.get(f"{base_url}/v1/models", timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unavailable(base_url, error) from None
    return {card["id"]: card.get("root", "") for card in _body(response)["data"]}


async def searched_async(client: httpx.AsyncClient, base_url: str) -> str:
    """The collection from which a server answers `rag/…` where a request names none.

    Raises:
        PlaitError: what keeps the server from searching it.
    """
    try:
        response = await client.post(f"{base_url}/v1/retrieve", json={"query": "collection", "top_k": 1}, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unavailable(base_url, error) from None
    return str(_body(response)["collection"])


def headers() -> dict[str, str]:
    """What every request to a server carries: the key, if one is set."""
    key = settings().api_key
    return {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}


def server_url() -> str:
    """Where this machine's server is."""
    return f"http://{settings().bind}:{settings().http_port}"


def error_of_status(status: int, message: str | None, no_key: str = NO_KEY) -> PlaitError:
    """What a server's refusal is here.

    Args:
        status: of HTTP.
        message: the sentence that the server gave, if it gave one.
        no_key: what to do where a key is missing or wrong.
    """
    kind = _KINDS.get(status, PlaitError)
    return kind(message or f"The server answered {status}.", no_key if kind is Unauthorized else "")


def unavailable(base_url: str, error: Exception, no_server: str = NO_SERVER) -> Unavailable:
    """The sentence for a server that does not answer; `no_server`: what to do."""
    return Unavailable(f"No server answers at {base_url} ({type(error).__name__}).", no_server)


def _request(
    model: str, conversation: Sequence[Mapping[str, str]], how: Sent, retrieval: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": list(conversation),
        "max_tokens": how.max_tokens,
        "temperature": how.temperature,
    }
    if how.seed is not None:
        body["seed"] = how.seed
    if model.startswith("rag/"):
        # What is read here is the answer alone, also where the server writes its sources into the text.
        body["retrieval"] = {"citations": "annotations"} | dict(retrieval or {})
    elif retrieval:
        body["retrieval"] = dict(retrieval)
    return body


def _cited(citation: dict[str, Any]) -> CitedPassage:
    quote, place = citation["quote"], citation["url_citation"]
    return CitedPassage(
        source=citation["source"],
        title=citation["title"],
        heading=citation["heading"],
        text=citation["text"],
        score=citation["score"],
        quote=quote["text"] if quote else "",
        chunk_id=citation["chunk_id"],
        start=citation["start"],
        end=citation["end"],
        # Where nothing is repeated, the server names the whole answer.
        cited_at=(place["start_index"], place["end_index"]) if quote else None,
    )


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        raise Unavailable(f"{response.url} answers with no JSON (status {response.status_code}).") from None
    if response.status_code != 200:
        error = body.get("error") if isinstance(body, dict) else None
        raise error_of_status(response.status_code, error.get("message") if isinstance(error, dict) else None)
    if not isinstance(body, dict) or not body.keys() & {"choices", "data"}:
        raise Unavailable(f"{response.url} does not answer as Plait's API does.", "Is it another server?")
    return cast("dict[str, Any]", body)


def _read(response: httpx.Response) -> ChatAnswer:
    body = _body(response)
    if "plait" not in body:
        raise Unavailable(f"{response.url} does not answer as Plait's API does.", "Is it another server?")
    choice, usage, details = body["choices"][0], body.get("usage") or {}, body["plait"]
    return ChatAnswer(
        text=choice["message"]["content"],
        model=details["model"],
        citations=tuple(_cited(citation) for citation in choice["message"]["annotations"]),
        is_grounded=details.get("route", {}).get("kind") == "rag",
        timings_ms=details["timings_ms"],
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        finish_reason=choice.get("finish_reason") or "",
    )
