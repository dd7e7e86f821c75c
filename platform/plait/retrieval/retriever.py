"""From questions to passages: embed, search, rerank, select, expand.

In: questions as text, and how to retrieve. Out: for each its passages, best first. It knows neither prompts nor who
asks.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from plait.errors import InvalidInput
from plait.index.collection import Index
from plait.index.passage import Passage
from plait.index.search import Hit
from plait.models.embedding import Embedding, kind_of
from plait.models.late_interaction import late_interaction_scores
from plait.observability import metrics
from plait.retrieval.neighbours import expanded
from plait.retrieval.question import Question
from plait.retrieval.question_vectors import embed_questions
from plait.retrieval.request import Retrieval
from plait.retrieval.selection import reranked, selected, text_to_rank


class Retriever:
    """Retrieval from one index.

    Args:
        index: where to search.
        embedding: the model that made the index's vectors.

    Raises:
        Conflict: when the index was made with another embedding model.
    """

    def __init__(self, index: Index, embedding: Embedding) -> None:
        index.check_vectors(kind_of(embedding))
        self._index = index
        self._embedding = embedding

    def retrieve(self, queries: Sequence[str], how: Retrieval) -> list[list[Passage]]:
        """The passages for each query, best first; fewer than `top_k` where the tenant has fewer, none without a word.

        Raises:
            InvalidInput: for a filter that is none, or a reranking that needs a cross-encoder.
            Unavailable: when Milvus does not answer.
        """
        if how.rerank == "cross-encoder":
            raise InvalidInput("There is no cross-encoder here.", "Use rerank: late-interaction or none.")
        questions = [Question.of(query) for query in queries]
        found = iter(self._found([question.text for question in questions if question is not None], how))
        return [[] if question is None else next(found) for question in questions]

    def _found(self, queries: Sequence[str], how: Retrieval) -> list[list[Passage]]:
        if not queries:
            return []
        vectors = None
        if how.mode != "bm25":
            with self._timed("embed"):
                vectors = embed_questions(self._embedding, queries)
        with self._timed("search"):
            found = self._index.search(how.search(), queries, vectors)
        if how.rerank == "late-interaction":
            with self._timed("rerank"):
                found = [self._reranked(query, hits) for query, hits in zip(queries, found, strict=True)]
        passages = [selected(hits, how) for hits in found]
        if how.expand:
            with self._timed("expand"):
                passages = [expanded(p, self._index.around(p, how.expand, how.tenant)) for p in passages]
        for of_query in passages:
            metrics.PASSAGES.labels(collection=self._index.name).observe(len(of_query))
        return passages

    def _reranked(self, query: str, hits: list[Hit]) -> list[Hit]:
        return reranked(hits, late_interaction_scores(self._embedding, query, [text_to_rank(hit) for hit in hits]))

    def _timed(self, stage: str) -> AbstractContextManager[object]:
        return metrics.RETRIEVAL_SECONDS.labels(collection=self._index.name, stage=stage).time()
