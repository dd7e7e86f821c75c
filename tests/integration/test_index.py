"""An index on a real Milvus: names that must be escaped, collections of others, and a server that dies."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from changed_settings import changed_settings
from made_chunks import DIMENSION, document

from plait.errors import Conflict, Unavailable
from plait.index.collection import Index, list_collections
from plait.index.document_state import DocumentVersion
from plait.index.search import Search
from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.store import MilvusStore
from plait.index.stores.store import Store


@pytest.fixture
def name(milvus: Store) -> Iterator[str]:
    """A collection's name; what is made of it is dropped."""
    name = f"test_{uuid4().hex}"
    yield name
    if name in list_collections(milvus):
        Index.open(name, milvus).drop()


@pytest.fixture
def index(name: str, milvus: Store) -> Index:
    return Index.open_or_create(name, milvus, embedding_model="model-a", dimension=DIMENSION)


@pytest.mark.parametrize("can_be_loaded", [True, False])
def test_a_collection_of_somebody_else_is_left_alone(name: str, milvus: Store, can_be_loaded: bool) -> None:
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(milvus.address)
    if can_be_loaded:
        client.create_collection(name, dimension=4)
    else:  # it has no index
        schema = client.create_schema().add_field("id", DataType.INT64, is_primary=True)
        client.create_collection(name, schema=schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4))
    try:
        assert name not in list_collections(milvus)
        with pytest.raises(Conflict, match="not made by Plait"):
            Index.open(name, milvus)
    finally:
        client.drop_collection(name)


def test_a_document_may_have_any_name(index: Index) -> None:
    names = ['say "hi" \\ there.md', "it's é 中 😀.md", "line\nbreak\r.md", "\x01\x7f\u2028.md", '" or 1 == 1 or "']
    for source in names:
        index.upsert(document(source))
        assert index.document_states("default", [source])[source].is_exactly("h1")
    for source in names:
        index.delete_stale("default", source, keep=DocumentVersion("h2", 3))
        assert source not in index.document_states("default")
    index.upsert(document("bystander.md"))
    index.delete_documents("default", names)
    assert index.document_states("default").keys() == {"bystander.md"}


def test_more_documents_than_a_filter_holds_can_be_asked_for(index: Index) -> None:
    sources = [f"{number}.md" for number in range(450)]
    index.upsert(pa.concat_tables([document(source, chunk_count=1) for source in sources]))
    assert index.document_states("default", sources).keys() == set(sources)


def test_a_server_that_dies_is_an_outage_and_not_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    from plait.local.process import answers, free_port

    port = free_port()
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(tmp_path), "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers("127.0.0.1", port):
            time.sleep(0.1)
        store = MilvusStore(Milvus(f"http://127.0.0.1:{port}", ""))
        index = Index.open_or_create("dying", store, embedding_model="model-a", dimension=DIMENSION)
    finally:
        server.kill()
        server.wait()
    with changed_settings(milvus_timeout_s=1):
        with pytest.raises(Unavailable, match=f"No Milvus answers at http://127.0.0.1:{port}"):
            index.search(Search(1), vectors=np.eye(1, DIMENSION, dtype=np.float32))
        with pytest.raises(Unavailable):
            index.upsert(document("a.md"))
        with pytest.raises(Unavailable):
            index.document_states("default")
