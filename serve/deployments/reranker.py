"""The reranker deployment: a query and documents in, scores out, by a cross-encoder; only where one is configured."""

import asyncio
from collections.abc import Sequence

from ray import serve

from plait.errors import ModelNotFound
from plait.models.reranking import RerankingModel, check_uncut
from plait.serve.deployments.fair_turns import cut, in_turns
from plait.serve.messages.arguments import RerankArguments
from plait.serve.messages.request_log import log_expected_errors_in_one_line

_PAIRS_A_TURN = 64  # a second or more on two cores, after which pairs of others come in


class Reranker:
    """One cross-encoder; requests that come together share a batch."""

    def __init__(self, arguments: RerankArguments) -> None:
        log_expected_errors_in_one_line()
        self._model = RerankingModel(arguments.model)

    async def rerank(self, query: str, documents: Sequence[str], model: str) -> list[float]:
        """How well each document answers the query, higher is better.

        Raises:
            ModelNotFound: when it is asked for as another model.
        """
        if model not in ("reranker", self._model.name):
            raise ModelNotFound(f"There is no reranker {model[:80]!r}.", f"Ask for reranker or {self._model.name}.")
        query, *texts = [cut(text, self._model.max_tokens) for text in (query, *documents)]
        return await in_turns([(query, text) for text in texts], _PAIRS_A_TURN, self._score_together)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, as many as the model reads."""
        readable = [cut(text, self._model.max_tokens) for text in texts]
        count = self._model.count_tokens
        counts = await in_turns(readable, _PAIRS_A_TURN, lambda part: asyncio.to_thread(count, part))
        return [min(tokens, self._model.max_tokens) for tokens in counts]

    async def check_uncut(self, documents: Sequence[str], limit_tokens: int) -> None:
        """Whether no document is longer than a limit, or the model itself reads no more.

        Raises:
            InvalidInput: when one is longer.
        """
        readable = [cut(document, self._model.max_tokens) for document in documents]
        tokens = await asyncio.to_thread(self._model.count_tokens, readable)
        check_uncut(tokens, limit_tokens, self._model.max_tokens)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]  # ray ships no types
    async def _score_together(self, requests: list[list[tuple[str, str]]]) -> list[list[float]]:
        scores = iter(await asyncio.to_thread(self._model.score, [pair for pairs in requests for pair in pairs]))
        return [[next(scores) for _ in pairs] for pairs in requests]

    async def model_source(self) -> str:
        """Where the model is from."""
        return self._model.name

    async def is_ready(self) -> bool:
        """Answers when the model is loaded."""
        return True
