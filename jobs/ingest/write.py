"""The writing stage: chunks with vectors in, into the index.

There is one writer, because the embedded Milvus takes no more. Whether a document is whole is asked of the index, so a
writer that died and came back leaves the same index. A document that the index refuses fails alone.
"""

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from plait.documents.failure import Failure
from plait.errors import DataError
from plait.index.collection import Index
from plait.index.document_state import DocumentVersion
from plait.models.vectors import Prompts
from plait.observability import metrics
from plait.recipes import IngestRecipe

_FLUSH_EVERY_CHUNKS = 2_000  # in the embedded Milvus, whose queries slow down with what is unflushed

WRITTEN_SCHEMA = pa.schema([("source", pa.string()), ("chunk_count", pa.int64())])
"""Documents that became whole with a batch."""


class Write:
    """Upserts chunks; when the last one of a document is there, deletes those of its older versions."""

    def __init__(
        self,
        recipe: IngestRecipe,
        prompts: Prompts,
        milvus_uri: str,
        milvus_token: str,
        generation: int | None,
        ledger: Any,
    ) -> None:
        self._recipe = recipe
        self._prompts = prompts
        self._milvus_uri, self._milvus_token = milvus_uri, milvus_token
        self._generation = generation
        self._ledger = ledger
        self._index: Index | None = None
        self._unflushed = 0
        self._refused: set[str] = set()

    def __call__(self, chunks: pa.Table) -> pa.Table:
        index = self._open(dimension=chunks.schema.field("dense").type.list_size)
        chunks = self._upsert(index, _without(chunks, self._refused))
        self._unflushed += chunks.num_rows
        if index.is_embedded and self._unflushed >= _FLUSH_EVERY_CHUNKS:
            index.flush()
            self._unflushed = 0
        completed = self._finish_documents(index, chunks)
        ray.get(self._ledger.record_written.remote(chunks.num_rows, completed))
        collection = self._recipe.collection
        metrics.CHUNKS.labels(collection=collection).inc(chunks.num_rows)
        metrics.DOCUMENTS.labels(collection=collection, outcome="written").inc(len(completed))
        return pa.table([list(completed), list(completed.values())], schema=WRITTEN_SCHEMA)

    def _open(self, dimension: int) -> Index:
        if self._index is None:  # only now, because the first chunk tells the dimension of a new collection
            self._index = Index.open_or_create(
                self._recipe.collection,
                embedding_model=self._recipe.embedding.model,
                dimension=dimension,
                prompts=self._prompts,
                uri=self._milvus_uri,
                token=self._milvus_token,
                generation=self._generation,
            )
        return self._index

    def _upsert(self, index: Index, chunks: pa.Table) -> pa.Table:
        """Write chunks; returns those of documents that the index takes."""
        refused = _refusals(index, chunks, sorted(set(chunks["source"].to_pylist())))
        if not refused:
            return chunks
        states = index.document_states(self._recipe.tenant, refused)
        versions = dict(zip(*(chunks[name].to_pylist() for name in ("source", "content_hash")), strict=True))
        # Half a new document would be found; of one that was here before, what an older batch left of it stays.
        new = [s for s, state in states.items() if {v.content_hash for v in state.present} == {versions[s]}]
        index.delete_documents(self._recipe.tenant, new)
        for source, reason in refused.items():
            # Without its hash: what refused it may be another server than the one that the next run writes to.
            ray.get(self._ledger.record_failure.remote(Failure(source, reason, "write")))
            metrics.DOCUMENTS.labels(collection=self._recipe.collection, outcome="failed").inc()
        self._refused |= refused.keys()
        return _without(chunks, refused)

    def _finish_documents(self, index: Index, chunks: pa.Table) -> dict[str, int]:
        """Delete what is stale of the documents that are now whole; returns them with their chunk counts."""
        columns = (chunks[name].to_pylist() for name in ("source", "content_hash", "chunk_count"))
        versions = {source: DocumentVersion(content, count) for source, content, count in zip(*columns, strict=True)}
        states = index.document_states(self._recipe.tenant, versions)
        completed = {}
        for source, version in versions.items():
            if states[source].has_whole(version):
                if len(states[source].present) > 1:
                    index.delete_stale(self._recipe.tenant, source, keep=version)
                completed[source] = version.chunk_count
        return completed


def _refusals(index: Index, chunks: pa.Table, sources: Sequence[str]) -> dict[str, str]:
    """Write the chunks of some documents, by halves where the index refuses them; returns who is refused, and why."""
    try:
        index.upsert(chunks)
    except DataError as error:
        if len(sources) == 1:
            return {sources[0]: error.what}
        first = sources[: len(sources) // 2]
        second = sources[len(first) :]
        return _refusals(index, _without(chunks, second), first) | _refusals(index, _without(chunks, first), second)
    return {}


def _without(chunks: pa.Table, sources: Collection[str]) -> pa.Table:
    """The chunks that are of none of some documents."""
    if not sources:
        return chunks
    return chunks.filter(pc.invert(pc.is_in(chunks["source"], pa.array(sorted(sources), pa.string()))))
