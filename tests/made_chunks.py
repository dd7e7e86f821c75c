"""Chunks as tables for an index, each with a vector along an axis."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from plait.documents.chunk import Chunk, chunk_table, make_chunk_id
from plait.models.vectors import Vectors

DIMENSION = 8


def with_vectors(chunks: Sequence[Chunk], vectors: Vectors) -> pa.Table:
    """Chunks with their vectors, float32 [n, dimension], as an index takes them."""
    dense = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return chunk_table(chunks).append_column("dense", dense)


def document(
    source: str, content_hash: str = "h1", chunk_count: int = 3, tenant: str = "default", first: int = 0
) -> pa.Table:
    """Chunks `first`… of a document; chunk number i points into direction i."""
    chunks = [
        Chunk(
            chunk_id=make_chunk_id(tenant, source, position, "text", content_hash),
            source=source,
            title="Title",
            heading="Head > Line",
            text=f"text {position}",
            position=position,
            start=10 * position,
            end=10 * position + 6,
            chunk_count=chunk_count,
            content_hash=content_hash,
            updated_at=1,
            tenant=tenant,
            metadata={"key": ["value"]},
        )
        for position in range(first, chunk_count)
    ]
    return with_vectors(chunks, np.eye(DIMENSION, dtype=np.float32)[[c.position % DIMENSION for c in chunks]])


def one_chunk_documents(texts: Sequence[str], vectors: Vectors) -> pa.Table:
    """A document `N.md` of one chunk for each text."""
    chunks = [Chunk(f"chunk-{i}", f"{i}.md", "", "", text, 0, 0, len(text), 1, "h", i) for i, text in enumerate(texts)]
    return with_vectors(chunks, vectors)
