"""The schema and the indexes of a collection in Milvus.

`dense` is searched by HNSW. `sparse` holds the BM25 weights, which Milvus itself makes from `words`. It knows no
connection.
"""

from typing import Any

from plait.index.stores.store import DENSE, WORDS, Schema

UNUSED = "unused"
NO_VECTOR = [0.0, 0.0]
"""Milvus has no collection without a vector."""


def collection_schema(schema: Schema, is_before_2_5: bool) -> Any:
    """Write a schema as Milvus takes it.

    On a server before 2.5 the tenant is a plain field: where it is the partition key, the upsert of 2.3 puts rows into
    partitions in which a search for their tenant does not look.
    """
    from pymilvus import DataType, Function, FunctionType, MilvusClient

    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for name, most_bytes in schema.texts.items():
        is_partition_key = name == schema.tenant and schema.dimension is not None and not is_before_2_5
        options = {"is_primary": True} if name == schema.key else {"is_partition_key": is_partition_key}
        made.add_field(name, DataType.VARCHAR, max_length=most_bytes, **options)
    for name in schema.numbers:
        made.add_field(name, DataType.INT64)
    for name in schema.json:
        made.add_field(name, DataType.JSON)
    if schema.dimension is None:
        made.add_field(UNUSED, DataType.FLOAT_VECTOR, dim=len(NO_VECTOR))
    else:
        made.add_field(DENSE, DataType.FLOAT_VECTOR, dim=schema.dimension)
    if schema.words_bytes is not None:
        made.add_field(WORDS, DataType.VARCHAR, max_length=schema.words_bytes, enable_analyzer=True)
        made.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        made.add_function(Function("bm25", FunctionType.BM25, input_field_names=[WORDS], output_field_names=["sparse"]))
    return made


def collection_indexes(client: Any, schema: Schema) -> Any:
    """HNSW by cosine over `dense` (Malkov and Yashunin 2016, arXiv:1603.09320), an inverted index over `sparse`."""
    indexes = client.prepare_index_params()
    if schema.dimension is None:
        indexes.add_index(UNUSED, index_type="FLAT", metric_type="L2")
    else:
        # hnswlib's own defaults
        indexes.add_index(DENSE, index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 200})
    if schema.words_bytes is not None:
        indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    return indexes
