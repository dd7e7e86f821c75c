"""Searching a collection in Milvus: dense, BM25, or both in one round trip, never outside a tenant."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.errors import InvalidInput
from plait.index.conditions import EVERY_ROW, And, Equals, Field
from plait.index.search import MAX_TOP_K, Search
from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.expression import expression
from plait.index.stores.store import DENSE, Found
from plait.models.vectors import Vectors
from plait.settings import settings

_MIN_DEPTH = 50  # of each side of a hybrid search: what only one side ranks high must be found by the other too
_RRF_K = 60  # Cormack, Clarke and Büttcher 2009, Reciprocal rank fusion outperforms Condorcet
# What servers say of a filter: Milvus Lite "illegal argument", Milvus "invalid parameter".
_BAD_ARGUMENT_CODES = (6, 1100)


def search(
    milvus: Milvus, collection: str, how: Search, fields: Sequence[str], words: Sequence[str], vectors: Vectors | None
) -> list[list[Found]]:
    """Find rows, best first, for each question; see `StoreCollection.search`."""
    from pymilvus.exceptions import MilvusException

    if not len(words if vectors is None else vectors):
        return []
    allowed = expression(And((Equals(Field("tenant"), how.tenant), how.condition)))
    with milvus.answering(f"search '{collection}'") as client:
        try:
            found = _ask(client, collection, how, allowed, fields, words, vectors)
        except MilvusException as error:
            if how.condition != EVERY_ROW and (error.code in _BAD_ARGUMENT_CODES or "query plan" in error.message):
                reason = error.message.strip().splitlines()[0]
                raise InvalidInput(f"Milvus refuses the filter ({reason}).") from error
            raise
    return [[_found(row, how) for row in rows] for rows in found]


def _ask(
    client: Any,
    collection: str,
    how: Search,
    allowed: str,
    fields: Sequence[str],
    words: Sequence[str],
    vectors: Vectors | None,
) -> list[list[dict[str, Any]]]:
    shared = {"collection_name": collection, "limit": how.top_k, "timeout": settings().milvus_timeout_s}
    fields = [*fields, DENSE] if how.with_vectors or how.mode == "hybrid" else list(fields)
    depth = how.top_k if how.mode != "hybrid" else min(MAX_TOP_K, max(_MIN_DEPTH, 2 * how.top_k))
    # HNSW looks at `ef` candidates, which must be at least as many as are asked for.
    dense = {"anns_field": DENSE, "data": [] if vectors is None else list(vectors)}
    dense_params = {"metric_type": "COSINE", "params": {"ef": max(64, 2 * depth)}}
    sparse = {"anns_field": "sparse", "data": list(words)}
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


def _found(hit: dict[str, Any], how: Search) -> Found:
    row = dict(hit["entity"])
    vector = np.asarray(row.pop(DENSE), np.float32) if DENSE in row else None
    score = float(hit["distance"])
    return Found(row, abs(score) if how.mode == "bm25" else score, vector)  # the embedded server's BM25 is negative
