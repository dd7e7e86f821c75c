import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from changed_settings import changed_settings

from plait.documents.chunk import Chunk, chunk_table, make_chunk_id
from plait.errors import CollectionNotFound, Conflict, InvalidInput, Unavailable
from plait.index.collection import Index, list_collections
from plait.index.document_state import DocumentVersion
from plait.index.search import Search
from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.store import MilvusStore
from plait.index.stores.store import Store
from plait.models.encoders.load import load_embedding
from plait.models.vectors import Prompts, VectorKind
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import RetrievalPipeline
from plait.retrieval.request import Retrieval

DIMENSION = 8


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


def unit(direction: int, tilt: float = 0.0) -> npt.NDArray[np.float32]:
    vector = np.zeros(DIMENSION, np.float32)
    vector[direction], vector[(direction + 1) % DIMENSION] = np.cos(tilt), np.sin(tilt)
    return vector


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
    vectors = np.concatenate([unit(chunk.position % DIMENSION) for chunk in chunks])
    return chunk_table(chunks).append_column("dense", pa.FixedSizeListArray.from_arrays(pa.array(vectors), DIMENSION))


def test_a_collection_remembers_model_and_dimension(index: Index, milvus: Store) -> None:
    again = Index.open(index.name, milvus)
    assert (again.embedding_model, again.dimension) == ("model-a", DIMENSION)
    assert index.name in list_collections(milvus)


def test_a_collection_that_is_not_there_is_named_with_its_neighbours(index: Index, milvus: Store) -> None:
    with pytest.raises(CollectionNotFound, match=f"Did you mean '{index.name}'"):
        Index.open(index.name[:-1], milvus)


def test_another_embedding_model_is_refused_and_both_are_named(index: Index, milvus: Store) -> None:
    made = r"was made with 'model-a' \(8 dimensions\), not with "
    with pytest.raises(Conflict, match=made + r"'model-b' \(8 dimensions\)"):
        Index.open_or_create(index.name, milvus, embedding_model="model-b", dimension=DIMENSION)
    with pytest.raises(Conflict, match=made + r"'model-a' \(9 dimensions\)"):
        Index.open_or_create(index.name, milvus, embedding_model="model-a", dimension=9)
    prompts = Prompts(passage="passage: ")
    with pytest.raises(Conflict, match=made + r"'model-a' \(8 dimensions, passage prompt 'passage: '\)"):
        Index.open_or_create(index.name, milvus, embedding_model="model-a", dimension=8, prompts=prompts)


def test_a_collection_remembers_its_prompts(name: str, milvus: Store) -> None:
    prompts = Prompts("query: ", 'the "passage": ')
    Index.open_or_create(name, milvus, embedding_model="model-a", dimension=DIMENSION, prompts=prompts)
    assert Index.open(name, milvus).vectors == VectorKind("model-a", DIMENSION, prompts)


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


def test_search_finds_the_nearest_chunks_of_the_tenant_best_first(index: Index) -> None:
    index.upsert(document("a.md"))
    index.upsert(document("other.md", tenant="other"))
    (hits,) = index.search(Search(2), vectors=np.stack([unit(1, tilt=0.1)]))
    passages = [hit.passage for hit in hits]
    assert [(passage.source, passage.start, passage.end) for passage in passages] == [
        ("a.md", 10, 16),
        ("a.md", 20, 26),
    ]
    assert passages[0].score == pytest.approx(np.cos(0.1), abs=1e-4)
    assert (passages[0].title, passages[0].heading, passages[0].text) == ("Title", "Head > Line", "text 1")


def test_each_query_has_its_own_passages(index: Index) -> None:
    index.upsert(document("a.md"))
    found = index.search(Search(1), vectors=np.stack([unit(2), unit(0)]))
    assert [[hit.passage.text for hit in hits] for hits in found] == [["text 2"], ["text 0"]]
    assert index.search(Search(1, tenant="nobody"), vectors=np.stack([unit(2)])) == [[]]


def test_a_search_that_cannot_work_is_refused_before_it_is_sent(index: Index) -> None:
    with pytest.raises(InvalidInput, match="top_k is 0"):
        index.search(Search(0), vectors=np.zeros((1, DIMENSION), np.float32))
    with pytest.raises(InvalidInput, match=r"shape \(1, 3\)"):
        index.search(Search(1), vectors=np.zeros((1, 3), np.float32))


def test_writing_the_same_chunks_twice_leaves_them_once(index: Index) -> None:
    index.upsert(document("a.md"))
    index.upsert(document("a.md"))
    assert index.stats().chunk_count == 3


def test_a_state_tells_whole_from_partial_and_from_mixed(index: Index) -> None:
    index.upsert(document("whole.md"))
    index.upsert(document("partial.md", first=1))
    index.upsert(document("mixed.md", "h1"))
    index.upsert(document("mixed.md", "h2", chunk_count=2))
    states = index.document_states("default")
    assert {source: state.is_exactly("h1") for source, state in states.items()} == {
        "whole.md": True,
        "partial.md": False,
        "mixed.md": False,
    }
    assert states["mixed.md"].has_whole(DocumentVersion("h2", 2))
    assert index.document_states("default", ["whole.md", "absent.md"]).keys() == {"whole.md"}
    assert index.document_states("other") == {}


def test_stale_chunks_go_and_the_kept_version_stays(index: Index) -> None:
    index.upsert(document("a.md", "h1"))
    index.upsert(document("a.md", "h2", chunk_count=2))
    index.upsert(document("b.md", "h1"))
    index.delete_stale("default", "a.md", keep=DocumentVersion("h2", 2))
    states = index.document_states("default")
    assert states["a.md"].is_exactly("h2")
    assert states["b.md"].is_exactly("h1")


def test_deleting_documents_touches_no_other_and_no_other_tenant(index: Index) -> None:
    for tenant in ("default", "other"):
        for source in ("a.md", "b.md"):
            index.upsert(document(source, tenant=tenant))
    index.delete_documents("default", ["a.md"])
    assert index.document_states("default").keys() == {"b.md"}
    assert index.stats().documents_by_tenant == {"default": 1, "other": 2}


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
            index.search(Search(1), vectors=np.stack([unit(0)]))
        with pytest.raises(Unavailable):
            index.upsert(document("a.md"))
        with pytest.raises(Unavailable):
            index.document_states("default")


async def test_retrieval_finds_the_passage_that_says_the_same(name: str, milvus: Store, tiny_embedder: Path) -> None:
    model = load_embedding(str(tiny_embedder))
    index = Index.open_or_create(name, milvus, embedding_model=model.name, dimension=model.dimension)
    texts = ["zebra quagga", "0123 4567", "hello world"]
    table = document("a.md").drop_columns(["dense"])
    table = table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts))
    dense = pa.FixedSizeListArray.from_arrays(pa.array(model.encode_passages(texts).reshape(-1)), model.dimension)
    index.upsert(table.append_column("dense", dense))

    pipeline = RetrievalPipeline(LocalModels(model))
    for how in ({}, {"mode": "bm25"}, {"mode": "hybrid"}, {"rerank": "late-interaction"}):
        found = await pipeline.retrieve(index, ["hello world", "zebra quagga"], Retrieval(top_k=1, **how))
        assert [passages[0].text for passages in found] == ["hello world", "zebra quagga"]
    assert await pipeline.retrieve(index, [], Retrieval()) == []


async def test_retrieval_refuses_an_index_of_another_model(index: Index, tiny_embedder: Path) -> None:
    with pytest.raises(Conflict, match="was made with 'model-a'"):
        await RetrievalPipeline(LocalModels(load_embedding(str(tiny_embedder)))).retrieve(index, ["?a"], Retrieval())
