"""The Milvus collection of an index: its fields, limits, indexes and properties.

Columns are those of a chunk (plait.documents.chunk), plus `dense`, the embedding, and `sparse`, the BM25 weights that
Milvus itself makes from `words`: the words (plait.index.words) of the text with its title and headings, as it is
embedded, because questions are often asked in the words of a heading. It knows no connection.
"""

from typing import Any

from plait.tenants import MAX_TENANT_CHARACTERS

# Bytes, because Milvus counts the bytes of a VARCHAR (the embedded server counts characters).
MAX_CHUNK_ID_BYTES = 64
MAX_TEXT_BYTES = 65_535
MAX_SOURCE_BYTES = 1_024
MAX_TITLE_BYTES = 1_024
MAX_HEADING_BYTES = 2_048
MAX_TENANT_BYTES = 4 * MAX_TENANT_CHARACTERS

TEXT_FIELDS = ("chunk_id", "tenant", "source", "title", "heading", "text", "content_hash")
NUMBER_FIELDS = ("position", "start", "end", "chunk_count", "updated_at")
JSON_FIELDS = ("metadata",)

EMBEDDING_PROPERTY = "plait.embedding"
"""Collection property with the source of the embedding model; a collection without it is not ours."""
QUERY_PROMPT_PROPERTY = "plait.query_prompt"
PASSAGE_PROMPT_PROPERTY = "plait.passage_prompt"
"""Collection properties with the prompts that its vectors were made with, and queries need; absent: none."""
WORDS_PROPERTY = "plait.words"
"""Collection property with the version of plait.index.words that its `words` were made by; absent: none."""
FRESHNESS_PROPERTY = "plait.freshness"
"""Collection property with the freshness of the last run's documents, as JSON."""

DENSE_WEIGHT_PROPERTY = "plait.dense_weight"
"""Collection property with the weight that hybrid search was fitted to; absent or empty: reciprocal ranks."""


def collection_schema(dimension: int, is_before_2_5: bool) -> Any:
    """Schema of a collection whose vectors have `dimension` components.

    On a server before 2.5 it has no `sparse`, and `tenant` is a plain field: where it is the partition key, the upsert
    of 2.3 puts rows into partitions in which a search for their tenant does not look.
    """
    from pymilvus import DataType, Function, FunctionType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("chunk_id", DataType.VARCHAR, max_length=MAX_CHUNK_ID_BYTES, is_primary=True)
    schema.add_field("tenant", DataType.VARCHAR, max_length=MAX_TENANT_BYTES, is_partition_key=not is_before_2_5)
    schema.add_field("source", DataType.VARCHAR, max_length=MAX_SOURCE_BYTES)
    schema.add_field("title", DataType.VARCHAR, max_length=MAX_TITLE_BYTES)
    schema.add_field("heading", DataType.VARCHAR, max_length=MAX_HEADING_BYTES)
    schema.add_field("text", DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    schema.add_field("content_hash", DataType.VARCHAR, max_length=64)
    for number in ("position", "start", "end", "chunk_count", "updated_at"):
        schema.add_field(number, DataType.INT64)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=dimension)
    if not is_before_2_5:
        schema.add_field("words", DataType.VARCHAR, max_length=MAX_TEXT_BYTES, enable_analyzer=True)
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            Function("bm25", FunctionType.BM25, input_field_names=["words"], output_field_names=["sparse"])
        )
    return schema


def collection_indexes(client: Any, is_before_2_5: bool) -> Any:
    """HNSW by cosine over `dense` (Malkov and Yashunin 2016, arXiv:1603.09320), an inverted index over `sparse`."""
    indexes = client.prepare_index_params()
    indexes.add_index(
        "dense",
        index_type="HNSW",
        metric_type="COSINE",
        params={"M": 16, "efConstruction": 200},  # hnswlib's own defaults
    )
    if not is_before_2_5:
        indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    return indexes
