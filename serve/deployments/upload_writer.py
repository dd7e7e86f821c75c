"""Chunks of uploaded files into collections, and out of them again, while no other writer is there.

In: chunks, and the index that they were made for. Out: what is searched. It reads no file.
"""

import threading
from collections.abc import Sequence

import pyarrow as pa
from ray.serve.handle import DeploymentHandle

from plait.documents.chunk import Chunk, chunk_table
from plait.documents.uploads.uploaded_files import UploadedFile
from plait.index.collection import Index
from plait.index.only_writer import only_writer
from plait.index.stores.store import Store
from plait.index.writer import IndexWriter
from plait.serve.deployments.uploaded_chunks import refusal

_CHUNKS_AT_A_TIME = 32  # questions are embedded in between
_WAIT_FOR_WRITERS_S = 3600.0


class UploadWriter:
    """Writes to the collections of a store, with vectors by the application's embedder."""

    def __init__(self, store: Store, embedder: DeploymentHandle) -> None:
        self._store = store
        self._embedder = embedder

    async def with_vectors(self, chunks: Sequence[Chunk], index: Index) -> pa.Table:
        """Chunks as a table of CHUNK_SCHEMA with `dense`."""
        vectors = []
        for start in range(0, len(chunks), _CHUNKS_AT_A_TIME):
            texts = [chunk.text_to_embed for chunk in chunks[start : start + _CHUNKS_AT_A_TIME]]
            vectors += list(await self._embedder.embed_passages.remote(index.vectors, texts))
        return chunk_table(chunks).append_column("dense", pa.array(vectors, pa.list_(pa.float32(), index.dimension)))

    def write(
        self, file: UploadedFile, tenant: str, chunks: pa.Table, made_for: Index, is_left_off: threading.Event
    ) -> bool:
        """Write chunks that were made for an index; False when they do not fit it any more.

        Raises:
            InvalidInput: when the index refuses a value of the file.
        """
        with only_writer(self._store, made_for.name, tenant, _WAIT_FOR_WRITERS_S):
            index = Index.open(made_for.name, self._store)
            do_fit = (index.vectors, index.chunking) == (made_for.vectors, made_for.chunking)
            # Who takes the file out waits for this lock too: nothing is written after it was deleted.
            if do_fit and not is_left_off.is_set():
                refused = IndexWriter(index, tenant).write(chunks).refused
                if refused:
                    raise refusal(file, refused[file.source].rstrip("."))
                index.flush()
            return do_fit

    def delete(self, collection: str, tenant: str, sources: Sequence[str]) -> None:
        """Delete what a collection holds of some documents."""
        with only_writer(self._store, collection, tenant, _WAIT_FOR_WRITERS_S):
            index = Index.open(collection, self._store)
            index.delete_documents(tenant, sources)
            index.flush()
