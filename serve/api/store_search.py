"""How vector stores are to be searched, as OpenAI's clients say it: for passages, or by the tool file_search.

In: filters, a number of results, how to rank. Out: how to retrieve. Nothing here searches.
"""

from typing import Any, Literal

from pydantic import Field

from plait.recipes import MAX_TOP_K
from plait.serve.api.attribute_filters import AttributeFilter, condition_of
from plait.serve.api.request_body import RequestBody


class HybridSearch(RequestBody):
    """How much the two sides of a hybrid search count; only their ratio matters."""

    embedding_weight: float = Field(ge=0)
    text_weight: float = Field(ge=0)

    @property
    def dense_weight(self) -> float:
        total = self.embedding_weight + self.text_weight
        return self.embedding_weight / total if total else 0.5


class RankingOptions(RequestBody):
    ranker: Literal["none", "auto", "default-2024-11-15"] = Field(
        "auto", description="none, or the server's reranking."
    )
    score_threshold: float | None = Field(None, description="Leave out what scores less.")
    hybrid_search: HybridSearch | None = None


class StoreSearch(RequestBody):
    """A search in one store or several; what is not said is the server's."""

    filters: AttributeFilter | None = Field(None, description="On keys of the documents' metadata, and on `filename`.")
    max_num_results: int | None = Field(None, ge=1, le=MAX_TOP_K, description="Passages; else the server's top_k.")
    ranking_options: RankingOptions = RankingOptions()

    def retrieval_fields(self) -> dict[str, Any]:
        """The fields of `Retrieval` that are set here, but for the collection.

        Raises:
            InvalidInput: for filters that are too long or too deep.
        """
        how: dict[str, Any] = {}
        if self.max_num_results is not None:
            how["top_k"] = self.max_num_results
        if self.filters is not None:
            how["filter"] = condition_of(self.filters)
        options = self.ranking_options
        if options.ranker == "none":
            how["rerank"] = "none"
        if options.score_threshold is not None:
            how["min_score"] = options.score_threshold
        if options.hybrid_search is not None:
            how |= {"mode": "hybrid", "dense_weight": options.hybrid_search.dense_weight}
        return how
