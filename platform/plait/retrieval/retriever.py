"""From questions to passages: embed, then search.

In: questions as text. Out: for each the nearest passages, best first. It knows neither prompts nor who asks.
"""

from collections.abc import Sequence

from plait.errors import Conflict
from plait.index.collection import Index
from plait.index.search import Search
from plait.models.embedding import EmbeddingModel
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

    def __init__(self, index: Index, embedding: EmbeddingModel) -> None:
        if (index.embedding_model, index.dimension) != (embedding.name, embedding.dimension):
            raise Conflict(
                f"Collection '{index.name}' was made with '{index.embedding_model}' ({index.dimension} dimensions), "
                f"not with '{embedding.name}' ({embedding.dimension}).",
                f"Load '{index.embedding_model}' to search it.",
            )
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
            hits = self._index.search(Search(top_k, tenant=tenant), vectors=vectors)
        found = [[hit.passage for hit in of_one] for of_one in hits]
        for passages in found:
            metrics.PASSAGES.labels(collection=self._index.name).observe(len(passages))
        return found
