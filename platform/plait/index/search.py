"""What to search an index for, and what is found."""

from dataclasses import dataclass
from typing import Literal

from plait.index.conditions import EVERY_ROW, Condition
from plait.index.passage import Passage
from plait.models.vectors import Vectors
from plait.tenants import DEFAULT_TENANT

Mode = Literal["dense", "bm25", "hybrid"]

MAX_TOP_K = 1_000


@dataclass(frozen=True)
class Search:
    """How to search.

    Attributes:
        top_k: hits a question, 1 to 1000.
        mode: `dense`, by the cosine of vectors; `bm25`, by words (Robertson and Zaragoza 2009); `hybrid`, both, fused
            by the store in one round trip.
        tenant: whose documents to search; holds whatever `condition` says.
        condition: on fields of chunks (plait.index.filters reads it from a text).
        dense_weight: of the dense side in a hybrid search, 0 to 1, where the store brings scores to 0 to 1 and adds
            them; `ranks`: reciprocal ranks are added instead, both sides alike; None: what the index was fitted to,
            else ranks.
        with_vectors: hits have their vectors.
    """

    top_k: int
    mode: Mode = "dense"
    tenant: str = DEFAULT_TENANT
    condition: Condition = EVERY_ROW
    dense_weight: float | Literal["ranks"] | None = None
    with_vectors: bool = False


@dataclass(frozen=True)
class Hit:
    """A passage, and the vector of its chunk where it was asked for: float32 [dimension], unit length.

    The passage's score is its cosine similarity in `dense` and `hybrid` (what is fused are ranks or scores of two
    kinds, which order hits and say nothing of how near they are), and BM25's score in `bm25`.
    """

    passage: Passage
    vector: Vectors | None = None
