"""What an index holds of a document: which of its versions, and how much of each."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from plait.index.conditions import EVERY_ROW, And, Condition, Equals, Field, one_of_each
from plait.index.stores.store import StoreCollection


@dataclass(frozen=True)
class DocumentVersion:
    """One version of a document: all chunks of it carry the same hash and know how many they are."""

    content_hash: str
    chunk_count: int


@dataclass(frozen=True)
class DocumentState:
    """What the index holds of one document: chunks present, by version. An interrupted write leaves two versions."""

    present: dict[DocumentVersion, int]

    def has_whole(self, version: DocumentVersion) -> bool:
        """Every chunk of this version is there."""
        return self.present.get(version) == version.chunk_count

    @property
    def is_whole(self) -> bool:
        """Every chunk of one version is there, and nothing else."""
        return len(self.present) == 1 and all(map(self.has_whole, self.present))

    @property
    def chunks(self) -> int:
        """Chunks present, of all versions."""
        return sum(self.present.values())

    def is_exactly(self, content_hash: str) -> bool:
        """Every chunk of the version with this hash is there, and nothing else."""
        return self.is_whole and all(version.content_hash == content_hash for version in self.present)


def document_states(
    collection: StoreCollection, tenant: str, sources: Iterable[str] | None = None
) -> dict[str, DocumentState]:
    """What a collection holds of a tenant, by document: of these `sources`, or of all."""
    conditions: Iterable[Condition] = [EVERY_ROW] if sources is None else one_of_each(Field("source"), sources)
    counts: dict[str, Counter[DocumentVersion]] = defaultdict(Counter)
    for condition in conditions:
        where = And((Equals(Field("tenant"), tenant), condition))
        for row in collection.scan(where, ["source", "content_hash", "chunk_count"]):
            counts[row["source"]][DocumentVersion(row["content_hash"], row["chunk_count"])] += 1
    return {source: DocumentState(dict(versions)) for source, versions in counts.items()}
