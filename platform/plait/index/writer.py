"""The one writing step of an index: chunks with their vectors in, whole documents out.

Ingestion and uploads write through it. A document that becomes whole loses the chunks of its older versions; one that
the index refuses costs no other document anything. It asks the index whether a document is whole, so a writer that died
and came back leaves the same index.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from plait.errors import DataError
from plait.index.collection import Index
from plait.index.document_state import DocumentVersion

_FLUSH_EVERY_CHUNKS = 2_000  # in a store whose queries slow down with what is unflushed, as the embedded Milvus


@dataclass(frozen=True)
class Written:
    """What came of the chunks that were written together.

    Attributes:
        chunk_count: chunks that the index took.
        completed: documents that are whole now, with the count of their chunks.
        refused: documents that the index refuses, each with the reason.
    """

    chunk_count: int
    completed: dict[str, int]
    refused: dict[str, str]


class IndexWriter:
    """Writes the documents of a tenant into an index. A collection and tenant have one at a time: `only_writer`."""

    def __init__(self, index: Index, tenant: str) -> None:
        self._index = index
        self._tenant = tenant
        self._unflushed = 0
        self._refused: set[str] = set()

    def write(self, chunks: pa.Table) -> Written:
        """Upsert chunks (columns of CHUNK_SCHEMA, and `dense`); delete the stale ones of documents that become whole.

        A new document that is refused leaves no chunk; an older version of it that the index holds stays. Later chunks
        of it are dropped.

        Raises:
            Conflict: when the collection is of an earlier version of Plait.
            Unavailable: when the store does not answer.
        """
        chunks = _without(chunks, self._refused)
        refused = _upsert(self._index, chunks, sorted(set(chunks["source"].to_pylist())))
        if refused:
            self._delete_partial(chunks, refused)
            self._refused |= refused.keys()
            chunks = _without(chunks, refused)
        self._unflushed += chunks.num_rows
        if self._index.is_slow_before_flush and self._unflushed >= _FLUSH_EVERY_CHUNKS:
            self._index.flush()
            self._unflushed = 0
        return Written(chunks.num_rows, self._finish_documents(chunks), refused)

    def _delete_partial(self, chunks: pa.Table, refused: Collection[str]) -> None:
        """Delete what an earlier call wrote of refused documents, where the index holds no older version of them."""
        states = self._index.document_states(self._tenant, refused)
        versions = dict(zip(*(chunks[name].to_pylist() for name in ("source", "content_hash")), strict=True))
        # Half a new document would be found; of one that was here before, what an older batch left of it stays.
        new = [s for s, state in states.items() if {v.content_hash for v in state.present} == {versions[s]}]
        self._index.delete_documents(self._tenant, new)

    def _finish_documents(self, chunks: pa.Table) -> dict[str, int]:
        """Delete what is stale of the documents that are now whole; returns them with their chunk counts."""
        columns = (chunks[name].to_pylist() for name in ("source", "content_hash", "chunk_count"))
        versions = {source: DocumentVersion(content, count) for source, content, count in zip(*columns, strict=True)}
        states = self._index.document_states(self._tenant, versions)
        completed = {}
        for source, version in versions.items():
            if states[source].has_whole(version):
                if len(states[source].present) > 1:
                    self._index.delete_stale(self._tenant, source, keep=version)
                completed[source] = version.chunk_count
        return completed


def _upsert(index: Index, chunks: pa.Table, sources: Sequence[str]) -> dict[str, str]:
    """Write the chunks of some documents, by halves where the index refuses them; returns who is refused, and why."""
    try:
        index.upsert(chunks)
    except DataError as error:
        if len(sources) == 1:
            return {sources[0]: error.what}
        first = sources[: len(sources) // 2]
        second = sources[len(first) :]
        return _upsert(index, _without(chunks, second), first) | _upsert(index, _without(chunks, first), second)
    return {}


def _without(chunks: pa.Table, sources: Collection[str]) -> pa.Table:
    """The chunks that are of none of some documents."""
    if not sources:
        return chunks
    return chunks.filter(pc.invert(pc.is_in(chunks["source"], pa.array(sorted(sources), pa.string()))))
