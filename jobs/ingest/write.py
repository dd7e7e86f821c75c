"""The writing stage: chunks with vectors in, into the index.

There is one writer, because the embedded Milvus takes no more. It remembers nothing between batches: whether a document
is whole is asked of the index, so a writer that died and came back leaves the same index.
"""

from typing import Any

import pyarrow as pa
import ray

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

    def __call__(self, chunks: pa.Table) -> pa.Table:
        index = self._open(dimension=chunks.schema.field("dense").type.list_size)
        index.upsert(chunks)
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
