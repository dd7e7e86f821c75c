"""Text to vectors, by an OpenAI-compatible embeddings endpoint: `openai:NAME` where a model source stands.

In: texts. Out: float32 vectors of unit length, as from a model that is loaded here. Where the endpoint is and its key
are settings (PLAIT_EMBEDDING_URL, PLAIT_EMBEDDING_API_KEY): what a collection says must not decide where texts go.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from plait.errors import InvalidInput, ModelNotFound, PlaitError, Unavailable, first_line
from plait.models.embedding import EmbeddingOptions
from plait.models.source import ENDPOINT, is_endpoint
from plait.models.vectors import NO_PROMPTS, Prompts, Vectors
from plait.settings import settings

_MAX_TOKENS = 8_192  # of one text; OpenAI's limit
_TOKENS_A_REQUEST = 8_192  # small enough that several requests are under way for a block of chunks
_TEXTS_A_REQUEST = 2_048  # OpenAI's limit
_REQUESTS_AT_ONCE = 8
_RETRIES = 8  # by the client, from 0.5 s doubling to 8 s, or as long as Retry-After says
_TIMEOUT_S = 60.0
_BYTES_A_TOKEN = 3  # English has 4 to 5, so batches stay below their limit


class EmbeddingEndpoint:
    """An `Embedding` behind the endpoint.

    Args:
        source: `openai:NAME`.
        prompts: put before texts.
        dimensions: asked of the endpoint; None: as many as the model makes.
        requests_per_minute: not more are sent; None: any number.
        url, api_key: of the endpoint; None: those of the settings.

    Raises:
        ModelNotFound: when the endpoint has no such model, or refuses the key.
        InvalidInput: when it makes another number of dimensions.
        Unavailable: when it does not answer, after retries.
    """

    def __init__(
        self,
        source: str,
        prompts: Prompts = NO_PROMPTS,
        dimensions: int | None = None,
        requests_per_minute: int | None = None,
        url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        from openai import OpenAI

        self.name = source
        self.prompts = prompts
        self.max_tokens = _MAX_TOKENS
        self._url = url or settings().embedding_url
        key = api_key if api_key is not None else settings().embedding_api_key.get_secret_value()
        # The client insists on a key, which an endpoint of one's own need not.
        self._client = OpenAI(base_url=self._url, api_key=key or "none", max_retries=_RETRIES, timeout=_TIMEOUT_S)
        self._dimensions = dimensions
        self._pace = _Pace(requests_per_minute)
        self.dimension = self._request(["dimension"]).shape[1]
        if dimensions is not None and self.dimension != dimensions:
            raise InvalidInput(
                f"'{source}' at {self._url} makes vectors of {self.dimension} dimensions, not of {dimensions}.",
                "Correct embedding.dimensions, or leave it out.",
            )

    @classmethod
    def take(cls, options: EmbeddingOptions) -> "EmbeddingEndpoint | None":
        """The model of the endpoint; None: the model is not behind an endpoint."""
        if not is_endpoint(options.model):
            return None
        return cls(options.model, options.prompts or NO_PROMPTS, options.dimensions, options.requests_per_minute)

    def encode_passages(self, texts: Sequence[str], batch_size: int = _TEXTS_A_REQUEST) -> Vectors:
        """Vectors of texts to be found: float32 [n, dimension], unit length."""
        return self._encode([self.prompts.passage + text for text in texts], batch_size)

    def encode_queries(self, texts: Sequence[str], batch_size: int = _TEXTS_A_REQUEST) -> Vectors:
        """Vectors of texts to search for: float32 [n, dimension], unit length."""
        return self._encode([self.prompts.query + text for text in texts], batch_size)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """About how many tokens texts have: the endpoint's tokenizer is not known here."""
        return [_about_tokens(text) for text in texts]

    def _encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as requests:
            return np.concatenate(list(requests.map(self._request, _batches(texts, batch_size))))

    def _request(self, texts: Sequence[str]) -> Vectors:
        import openai

        self._pace.wait()
        asked: dict[str, Any] = {} if self._dimensions is None else {"dimensions": self._dimensions}
        try:
            answer = self._client.embeddings.create(
                model=self.name.removeprefix(ENDPOINT), input=list(texts), encoding_format="float", **asked
            )
        except (openai.NotFoundError, openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise ModelNotFound(
                f"The endpoint {self._url} does not give us '{self.name}' ({first_line(error)}).",
                "Correct the model's name, PLAIT_EMBEDDING_URL or PLAIT_EMBEDDING_API_KEY.",
            ) from error
        except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError) as error:
            raise Unavailable(
                f"The endpoint {self._url} does not embed, after {_RETRIES} retries ({first_line(error)}).",
                "Run again later; embedding.requests_per_minute keeps below a limit.",
            ) from error
        except openai.APIError as error:
            raise PlaitError(f"The endpoint {self._url} refuses to embed ({first_line(error)}).") from error
        vectors = np.array([item.embedding for item in sorted(answer.data, key=lambda item: item.index)], np.float32)
        if len(vectors) != len(texts):
            raise PlaitError(f"The endpoint {self._url} gave {len(vectors)} vectors for {len(texts)} texts.")
        unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit


class _Pace:
    """Lets requests go at even distances, so that no minute has more than its share."""

    def __init__(self, requests_per_minute: int | None) -> None:
        self._distance_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = time.monotonic()
        self._turn = threading.Lock()

    def wait(self) -> None:
        with self._turn:
            mine = max(self._next, time.monotonic())
            self._next = mine + self._distance_s
        time.sleep(max(0.0, mine - time.monotonic()))


def _batches(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    """Texts in order, as many a request as its tokens allow, at least one."""
    batch: list[str] = []
    tokens = 0
    for text, count in zip(texts, map(_about_tokens, texts), strict=True):
        if batch and (tokens + count > _TOKENS_A_REQUEST or len(batch) >= most):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += count
    yield batch


def _about_tokens(text: str) -> int:
    return len(text.encode()) // _BYTES_A_TOKEN + 1
