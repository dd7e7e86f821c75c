"""What a collection holds, over all tenants."""

from collections import defaultdict
from dataclasses import dataclass

from plait.index.conditions import EVERY_ROW
from plait.index.freshness import Freshness
from plait.index.properties import IndexProperties
from plait.index.stores.store import StoreCollection
from plait.models.vectors import VectorKind


@dataclass(frozen=True)
class IndexStats:
    """What a collection holds, over all tenants."""

    name: str
    vectors: VectorKind
    chunk_count: int
    documents_by_tenant: dict[str, int]
    freshness: Freshness | None
    """Of the last run that wrote documents which had changed; None before."""


def stats_of(collection: StoreCollection, name: str, vectors: VectorKind) -> IndexStats:
    """Count chunks, and documents by tenant. Reads the names of all chunks."""
    documents: dict[str, set[str]] = defaultdict(set)
    chunk_count = 0
    for row in collection.scan(EVERY_ROW, ["tenant", "source"]):
        documents[row["tenant"]].add(row["source"])
        chunk_count += 1
    by_tenant = {tenant: len(sources) for tenant, sources in sorted(documents.items())}
    notes = IndexProperties.read(collection.properties())
    return IndexStats(name, vectors, chunk_count, by_tenant, notes.freshness if notes else None)
