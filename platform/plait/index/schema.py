"""The fields of an index's rows, and how much each holds.

Fields are those of a chunk (plait.documents.chunk), plus `dense`, the embedding, and `words`: the words
(plait.index.words) of the text with its title and headings, as it is embedded, because questions are often asked in
the words of a heading. It knows no store.
"""

from plait.index.stores.store import Schema
from plait.tenants import MAX_TENANT_CHARACTERS

# Bytes, because Milvus counts the bytes of a text (the embedded server counts characters).
MAX_CHUNK_ID_BYTES = 64
MAX_TEXT_BYTES = 65_535
MAX_SOURCE_BYTES = 1_024
MAX_TITLE_BYTES = 1_024
MAX_HEADING_BYTES = 2_048
MAX_TENANT_BYTES = 4 * MAX_TENANT_CHARACTERS

TEXT_FIELDS = {
    "chunk_id": MAX_CHUNK_ID_BYTES,
    "tenant": MAX_TENANT_BYTES,
    "source": MAX_SOURCE_BYTES,
    "title": MAX_TITLE_BYTES,
    "heading": MAX_HEADING_BYTES,
    "text": MAX_TEXT_BYTES,
    "content_hash": 64,
}
NUMBER_FIELDS = ("position", "start", "end", "chunk_count", "updated_at")
JSON_FIELDS = ("metadata",)


def chunk_schema(dimension: int, has_words: bool) -> Schema:
    """The schema of an index whose vectors have `dimension` components."""
    words_bytes = MAX_TEXT_BYTES if has_words else None
    return Schema("chunk_id", TEXT_FIELDS, NUMBER_FIELDS, JSON_FIELDS, dimension=dimension, words_bytes=words_bytes)
