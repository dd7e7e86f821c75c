"""The writing stage: chunks with vectors in, into the index, and what came of them to the ledger.

There is one writer, because the embedded Milvus takes no more. How documents are written says plait.index.writer.
"""

from typing import Any

import pyarrow as pa
import ray

from plait.documents.failure import Failure
from plait.index.collection import Index
from plait.index.stores.store import Store
from plait.index.writer import IndexWriter
from plait.models.vectors import Prompts
from plait.observability import metrics
from plait.recipes import IngestRecipe

WRITTEN_SCHEMA = pa.schema([("source", pa.string()), ("chunk_count", pa.int64())])
"""Documents that became whole with a batch."""


class Write:
    """Writes tables of CHUNK_SCHEMA with `dense`; returns tables of WRITTEN_SCHEMA."""

    def __init__(
        self, recipe: IngestRecipe, prompts: Prompts, store: Store, generation: int | None, ledger: Any
    ) -> None:
        self._recipe = recipe
        self._prompts = prompts
        self._store = store
        self._generation = generation
        self._ledger = ledger
        self._writer: IndexWriter | None = None

    def __call__(self, chunks: pa.Table) -> pa.Table:
        if self._writer is None:  # only now, because the first chunk tells the dimension of a new collection
            self._writer = IndexWriter(self._open(chunks.schema.field("dense").type.list_size), self._recipe.tenant)
        written = self._writer.write(chunks)
        collection = self._recipe.collection
        for source, reason in written.refused.items():
            # Without its hash: what refused it may be another server than the one that the next run writes to.
            ray.get(self._ledger.record_failure.remote(Failure(source, reason, "write")))
            metrics.DOCUMENTS.labels(collection=collection, outcome="failed").inc()
        ray.get(self._ledger.record_written.remote(written.chunk_count, written.completed))
        metrics.CHUNKS.labels(collection=collection).inc(written.chunk_count)
        metrics.DOCUMENTS.labels(collection=collection, outcome="written").inc(len(written.completed))
        return pa.table([list(written.completed), list(written.completed.values())], schema=WRITTEN_SCHEMA)

    def _open(self, dimension: int) -> Index:
        index = Index.open_or_create(
            self._recipe.collection,
            self._store,
            embedding_model=self._recipe.embedding.model,
            dimension=dimension,
            prompts=self._prompts,
            chunking=self._recipe.chunking,
            generation=self._generation,
        )
        if index.chunking != self._recipe.chunking:
            index.note_chunking(self._recipe.chunking)
        return index
