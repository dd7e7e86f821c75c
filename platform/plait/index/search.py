"""Searching a collection: dense, BM25, or both at once, never outside a tenant.

In: how to search, and questions as texts and vectors. Out: for each the hits, best first. It knows neither how vectors
are made nor what becomes of hits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plait.errors import InvalidInput, PlaitError
from plait.index.conditions import EVERY_ROW, And, Condition, Equals, Field
from plait.index.connection import Milvus
from plait.index.passage import Passage
from plait.index.stores.milvus.expression import expression
from plait.index.words import analyzed
from plait.settings import settings

Mode = Literal["dense", "bm25", "hybrid"]
Vectors = npt.NDArray[np.float32]

MAX_TOP_K = 1_000
_MIN_DEPTH = 50  # of each side of a hybrid search: what only one side ranks high must be found by the other too
_RRF_K = 60  # Cormack, Clarke and Büttcher 2009, Reciprocal rank fusion outperforms Condorcet
_FIELDS = ["chunk_id", "tenant", "source", "title", "heading", "text", "start", "end", "position", "metadata"]
# What servers say of a filter: Milvus Lite "illegal argument", Milvus "invalid parameter".
_BAD_ARGUMENT_CODES = (6, 1100)


@dataclass(frozen=True)
class Search:
    """How to search.

    Attributes:
        top_k: hits a question, 1 to 1000.
        mode: `dense`, by the cosine of vectors; `bm25`, by words (Robertson and Zaragoza 2009); `hybrid`, both, fused
            by the server in one round trip.
        tenant: whose documents to search; holds whatever `condition` says.
        condition: on fields of chunks (plait.index.filters reads it from a text).
        dense_weight: of the dense side in a hybrid search, 0 to 1, where scores are brought to 0 to 1 by Milvus and
            added; `ranks`: reciprocal ranks are added instead, both sides alike; None: what the index was fitted to,
            else ranks.
        with_vectors: hits have their vectors.
    """

    top_k: int
    mode: Mode = "dense"
    tenant: str = "default"
    condition: Condition = EVERY_ROW
    dense_weight: float | Literal["ranks"] | None = None
    with_vectors: bool = False


@dataclass(frozen=True)
class Hit:
    """A passage, and the vector of its chunk where it was asked for: float32 [dimension], unit length."""

    passage: Passage
    vector: Vectors | None = None


def search(
    milvus: Milvus, collection: str, how: Search, texts: Sequence[str], vectors: Vectors | None
) -> list[list[Hit]]:
    """The hits for each question, best first.

    The score of a hit is its cosine similarity in `dense` and `hybrid` (what is fused are ranks or scores of two kinds,
    which order hits and say nothing of how near they are), and BM25's score in `bm25`.

    Raises:
        InvalidInput: when `top_k` is out of range, or Milvus refuses the condition.
        Unavailable: when Milvus does not answer.
    """
    from pymilvus.exceptions import MilvusException

    if not 1 <= how.top_k <= MAX_TOP_K:
        raise InvalidInput(f"top_k is {how.top_k}.", f"Use 1 to {MAX_TOP_K}.")
    allowed = expression(And((Equals(Field("tenant"), how.tenant), how.condition)))
    if not len(texts if vectors is None else vectors):
        return []
    with milvus.answering(f"search '{collection}'") as client:
        try:
            found = _ask(client, collection, how, allowed, texts, vectors)
        except MilvusException as error:
            if how.condition != EVERY_ROW and (error.code in _BAD_ARGUMENT_CODES or "query plan" in error.message):
                reason = error.message.strip().splitlines()[0]
                raise InvalidInput(f"Milvus refuses the filter ({reason}).") from error
            raise
    return [
        [_hit(row, how, None if vectors is None else vectors[number]) for row in rows]
        for number, rows in enumerate(found)
    ]


def _ask(
    client: Any, collection: str, how: Search, allowed: str, texts: Sequence[str], vectors: Vectors | None
) -> list[list[dict[str, Any]]]:
    shared = {"collection_name": collection, "limit": how.top_k, "timeout": settings().milvus_timeout_s}
    fields = [*_FIELDS, "dense"] if how.with_vectors or how.mode == "hybrid" else _FIELDS
    depth = how.top_k if how.mode != "hybrid" else min(MAX_TOP_K, max(_MIN_DEPTH, 2 * how.top_k))
    # HNSW looks at `ef` candidates, which must be at least as many as are asked for.
    dense = {"anns_field": "dense", "data": [] if vectors is None else list(vectors)}
    dense_params = {"metric_type": "COSINE", "params": {"ef": max(64, 2 * depth)}}
    sparse = {"anns_field": "sparse", "data": [analyzed(text) for text in texts]}
    sparse_params = {"metric_type": "BM25", "params": {}}
    if how.mode == "dense":
        found = client.search(**shared, **dense, search_params=dense_params, filter=allowed, output_fields=fields)
    elif how.mode == "bm25":
        found = client.search(**shared, **sparse, search_params=sparse_params, filter=allowed, output_fields=fields)
    else:
        from pymilvus import AnnSearchRequest, RRFRanker, WeightedRanker

        weight = how.dense_weight
        ranker = WeightedRanker(weight, 1 - weight) if isinstance(weight, float | int) else RRFRanker(_RRF_K)
        sides = [
            AnnSearchRequest(**side, param=params, limit=depth, expr=allowed)
            for side, params in ((dense, dense_params), (sparse, sparse_params))
        ]
        found = client.hybrid_search(**shared, reqs=sides, ranker=ranker, output_fields=fields)
    return [list(hits) for hits in found]


def _hit(row: dict[str, Any], how: Search, of_question: Vectors | None) -> Hit:
    entity = dict(row["entity"])
    if entity.pop("tenant") != how.tenant:  # cannot be; and if it is, it must not get any further
        raise PlaitError("Milvus found a document of another tenant.", "Please report the filter that did it.")
    vector = np.asarray(entity.pop("dense"), np.float32) if "dense" in entity else None
    score = float(row["distance"])
    if how.mode == "hybrid" and vector is not None and of_question is not None:
        score = float(vector @ of_question)
    elif how.mode == "bm25":
        score = abs(score)  # the embedded server's is negative
    return Hit(Passage(**entity, score=score), vector if how.with_vectors else None)
