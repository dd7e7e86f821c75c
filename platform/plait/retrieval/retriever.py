"""From questions to passages: embed, then search.

In: questions as text. Out: for each the nearest passages, best first. It knows neither prompts nor who asks.
"""

from collections.abc import Sequence

from plait.index.collection import Index
from plait.models.embedding import EmbeddingModel
from plait.models.endpoint import EmbeddingEndpoint
from plait.observability import metrics
from plait.retrieval.passage import Passage


class Retriever:
    """Dense retrieval from one index.

    Args:
        index: where to search.
        embedding: the model that made the index's vectors.

    Raises:
        Conflict: when the index was made with another embedding model.
    """

    def __init__(self, index: Index, embedding: EmbeddingModel | EmbeddingEndpoint) -> None:
        index.check_vectors(embedding.kind)
        self._index = index
        self._embedding = embedding

    def retrieve(self, queries: Sequence[str], top_k: int, tenant: str = "default") -> list[list[Passage]]:
        """The `top_k` passages nearest to each query, best first; fewer where the tenant has fewer.

        Raises:
            InvalidInput: when `top_k` is out of range.
            Unavailable: when Milvus does not answer.
        """
        if not queries:
            return []
        with metrics.RETRIEVAL_SECONDS.labels(collection=self._index.name, stage="embed").time():
            vectors = self._embedding.encode_queries(queries)
        with metrics.RETRIEVAL_SECONDS.labels(collection=self._index.name, stage="search").time():
            found = self._index.search(vectors, top_k, tenant)
        for passages in found:
            metrics.PASSAGES.labels(collection=self._index.name).observe(len(passages))
        return found
