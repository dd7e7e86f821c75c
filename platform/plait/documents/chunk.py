"""A chunk: a piece of a document as it stands in the index, and the Arrow schema that chunks travel in.

Used by ingestion (which makes chunks), the index (which stores them) and retrieval (which finds them). This module
knows neither Milvus nor any model.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from plait.tenants import DEFAULT_TENANT


@dataclass(frozen=True)
class Chunk:
    """A piece of a document's cleaned text.

    `start` and `end` are the character span in the cleaned text of `source`, so a citation can be checked.
    `content_hash` is that of the whole document and of what made the chunks (chunker, embedding model); together
    with `chunk_count` it tells whether a document is in the index whole and up to date.
    """

    chunk_id: str
    source: str
    title: str
    heading: str
    text: str
    position: int
    start: int
    end: int
    chunk_count: int
    content_hash: str
    updated_at: int
    """Milliseconds since 1970, UTC."""
    tenant: str = DEFAULT_TENANT
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def text_to_embed(self) -> str:
        """What the chunk is embedded as."""
        return text_to_embed(self.title, self.heading, self.text)


def text_to_embed(title: str, heading: str, text: str) -> str:
    """The text with title and heading before it: a chunk from the middle then still says what it is about."""
    header = " > ".join(part for part in (title, heading) if part)
    return f"{header}\n{text}" if header else text


def make_chunk_id(tenant: str, source: str, position: int, text: str, settings_hash: str) -> str:
    """Deterministic id (32 hex digits): the same document chunked the same way gives the same ids."""
    key = json.dumps([tenant, source, position, text, settings_hash], ensure_ascii=False)
    return hashlib.sha256(key.encode()).hexdigest()[:32]


CHUNK_SCHEMA = pa.schema(
    [
        ("chunk_id", pa.string()),
        ("source", pa.string()),
        ("title", pa.string()),
        ("heading", pa.string()),
        ("text", pa.string()),
        ("position", pa.int64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("chunk_count", pa.int64()),
        ("content_hash", pa.string()),
        ("updated_at", pa.int64()),
        ("tenant", pa.string()),
        ("metadata", pa.string()),  # JSON
    ]
)
"""Chunks on their way through Ray Data; embedding adds `dense`: list<float32>[dim], unit length."""


def chunk_table(chunks: Iterable[Chunk]) -> pa.Table:
    """Chunks as a table of CHUNK_SCHEMA."""
    rows = [asdict(chunk) | {"metadata": json.dumps(chunk.metadata, ensure_ascii=False)} for chunk in chunks]
    return pa.Table.from_pylist(rows, schema=CHUNK_SCHEMA)
