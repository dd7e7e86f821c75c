"""How to retrieve for a question: what a request may say, and what a server says where the request does not."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator
from pydantic.json_schema import SkipJsonSchema

from plait.index.conditions import MAX_FILTER_CHARACTERS, Condition
from plait.index.search import Mode, Search
from plait.recipes import MAX_TOP_K, TOP_K, Rerank
from plait.section import Section
from plait.tenants import DEFAULT_TENANT, TenantName


def _condition(value: Any) -> Condition:
    if not isinstance(value, Condition):
        raise ValueError("a filter is a text")
    return value


DenseWeight = Annotated[float, Field(ge=0, le=1)] | Literal["ranks"] | None
FilterText = Annotated[str, Field(max_length=MAX_FILTER_CHARACTERS)]
ReadFilter = SkipJsonSchema[Annotated[Condition, PlainValidator(_condition)]]
"""What was read from OpenAI's filters. A request cannot say it."""

MAX_COLLECTIONS = 16  # of one retrieval; each is a search
_MIN_CANDIDATES = 20  # to rerank or to choose from: 20 passages of 200 tokens rerank in about 0.15 s on two cores


class Retrieval(Section):
    """How to retrieve; in a request, fields that are not set are the server's."""

    collection: str | Annotated[list[str], Field(min_length=1, max_length=MAX_COLLECTIONS)] | None = Field(
        None, description="Where to search, one or several; null: the server's first collection."
    )
    top_k: int = Field(TOP_K, ge=1, le=MAX_TOP_K, description="Passages a question.")
    mode: Mode = Field("hybrid", description="dense: by meaning; bm25: by words; hybrid: both.")
    filter: FilterText | ReadFilter = Field("", description='Milvus\'s filter language, as metadata["lang"] == "en".')
    tenant: TenantName = Field(DEFAULT_TENANT, description="Whose documents.")
    # Ranks: of all that was tried, what falls least behind the better side on any set of benchmarks/retrieval.py.
    dense_weight: DenseWeight = Field(
        None,
        description="hybrid: share of the dense score, the rest BM25's; ranks: reciprocal ranks (Cormack et al. 2009); "
        "null: what the collection was fitted to, else ranks.",
    )
    rerank: Rerank = Field(
        "none", description="Order what was found anew, by rerank.model or by the embedding model's token vectors."
    )
    min_score: float | None = Field(
        None,
        description="Leave out what scores less: a cosine in dense and hybrid, BM25's score in bm25, the reranker's "
        "with rerank.",
    )
    mmr: float | None = Field(
        None, ge=0, le=1, description="Maximal marginal relevance: 1 is all relevance, 0 all diversity; null: off."
    )
    max_per_source: int | None = Field(None, ge=1, description="Passages from one document; null: any number.")
    expand: int = Field(0, ge=0, le=5, description="Neighbouring chunks to add to each passage, on either side.")

    @property
    def named(self) -> tuple[str, ...]:
        """The collections that it names, each once."""
        names = [self.collection] if isinstance(self.collection, str) else self.collection or []
        return tuple(dict.fromkeys(names))

    def over(self, defaults: "Retrieval") -> "Retrieval":
        """These fields where they are set, those of `defaults` elsewhere."""
        given = {name: getattr(defaults, name) for name in Retrieval.model_fields}
        return Retrieval(**given | {name: getattr(self, name) for name in self.model_fields_set & given.keys()})

    def search(self) -> Search:
        """The search that finds enough to choose from.

        Raises:
            InvalidInput: when the filter is not valid.
        """
        from plait.index.filters import read_filter  # here, because its parser takes 0.1 s to import

        needs_choice = self.rerank != "none" or self.mmr is not None or self.max_per_source is not None
        # Twice as many in any case, because duplicates are left out.
        candidates = max(4 * self.top_k, _MIN_CANDIDATES) if needs_choice else 2 * self.top_k
        return Search(
            top_k=candidates,
            mode=self.mode,
            tenant=self.tenant,
            condition=read_filter(self.filter) if isinstance(self.filter, str) else self.filter,
            dense_weight=self.dense_weight if self.mode == "hybrid" else None,
            with_vectors=self.mmr is not None,
        )
