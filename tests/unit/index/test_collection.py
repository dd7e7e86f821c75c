"""What an index does, over a store in memory."""

import numpy as np
import pytest
from made_chunks import DIMENSION, document

from plait.errors import CollectionNotFound, Conflict, InvalidInput
from plait.index.collection import Index, list_collections
from plait.index.document_state import DocumentVersion
from plait.index.filters import read_filter
from plait.index.search import Search
from plait.index.stores.memory import MemoryStore
from plait.index.stores.store import Store
from plait.models.vectors import Prompts, VectorKind, Vectors
from plait.retrieval.neighbours import expanded


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest.fixture
def index(store: Store) -> Index:
    return Index.open_or_create("birds", store, embedding_model="model-a", dimension=DIMENSION)


def unit(direction: int, tilt: float = 0.0) -> Vectors:
    vector = np.zeros((1, DIMENSION), np.float32)
    vector[0, direction], vector[0, (direction + 1) % DIMENSION] = np.cos(tilt), np.sin(tilt)
    return vector


def test_a_collection_remembers_model_and_dimension(index: Index, store: Store) -> None:
    again = Index.open("birds", store)
    assert (again.embedding_model, again.dimension) == ("model-a", DIMENSION)
    assert list_collections(store) == ["birds"]


def test_a_collection_that_is_not_there_is_named_with_its_neighbours(index: Index, store: Store) -> None:
    with pytest.raises(CollectionNotFound, match="Did you mean 'birds'"):
        Index.open("bird", store)


def test_another_embedding_model_is_refused_and_both_are_named(index: Index, store: Store) -> None:
    made = r"was made with 'model-a' \(8 dimensions\), not with "
    with pytest.raises(Conflict, match=made + r"'model-b' \(8 dimensions\)"):
        Index.open_or_create(index.name, store, embedding_model="model-b", dimension=DIMENSION)
    with pytest.raises(Conflict, match=made + r"'model-a' \(9 dimensions\)"):
        Index.open_or_create(index.name, store, embedding_model="model-a", dimension=9)
    prompts = Prompts(passage="passage: ")
    with pytest.raises(Conflict, match=made + r"'model-a' \(8 dimensions, passage prompt 'passage: '\)"):
        Index.open_or_create(index.name, store, embedding_model="model-a", dimension=8, prompts=prompts)


def test_a_collection_remembers_when_it_held_what_its_sources_did(index: Index, store: Store) -> None:
    assert index.in_step_at() is None
    Index.open("birds", store).note_in_step(1_800_000_000.25)
    assert index.in_step_at() == 1_800_000_000.25  # as it is now, and not as it was opened
    assert index.generation_if_any == 1


def test_a_collection_remembers_its_prompts(store: Store) -> None:
    prompts = Prompts("query: ", 'the "passage": ')
    Index.open_or_create("birds", store, embedding_model="model-a", dimension=DIMENSION, prompts=prompts)
    assert Index.open("birds", store).vectors == VectorKind("model-a", DIMENSION, prompts)


def test_search_finds_the_nearest_chunks_of_the_tenant_best_first(index: Index) -> None:
    index.upsert(document("a.md"))
    index.upsert(document("other.md", tenant="other"))
    (hits,) = index.search(Search(2), vectors=unit(1, tilt=0.1))
    passages = [hit.passage for hit in hits]
    assert [(passage.source, passage.start, passage.end) for passage in passages] == [
        ("a.md", 10, 16),
        ("a.md", 20, 26),
    ]
    assert passages[0].score == pytest.approx(np.cos(0.1), abs=1e-4)
    assert (passages[0].title, passages[0].heading, passages[0].text) == ("Title", "Head > Line", "text 1")


def test_each_query_has_its_own_passages(index: Index) -> None:
    index.upsert(document("a.md"))
    found = index.search(Search(1), vectors=np.concatenate([unit(2), unit(0)]))
    assert [[hit.passage.text for hit in hits] for hits in found] == [["text 2"], ["text 0"]]
    assert index.search(Search(1, tenant="nobody"), vectors=unit(2)) == [[]]


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


def test_words_of_an_earlier_version_are_neither_searched_nor_mixed_with_others(
    index: Index, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.upsert(document("a.md"))
    monkeypatch.setattr("plait.index.words.VERSION", "2")
    old = Index.open("birds", store)
    for use in (
        lambda: old.search(Search(3, mode="bm25"), ["text"]),
        lambda: old.check_mode("hybrid"),
        lambda: old.upsert(document("b.md")),
    ):
        with pytest.raises(Conflict, match=r"earlier version .* --rebuild"):
            use()
    ((hit,),) = old.search(Search(1), vectors=unit(1))
    assert hit.passage.text == "text 1"


def test_chunks_around_a_passage_are_those_of_its_document_version_and_tenant(index: Index) -> None:
    for tenant, version in (("default", "new"), ("default", "old"), ("other", "new")):
        index.upsert(document('a "b".md', version, 6, tenant))
    (hits,) = index.search(Search(1, condition=read_filter('content_hash == "new"')), vectors=unit(4))
    passages = [hit.passage for hit in hits]
    around = index.around(passages, 2, "default")
    assert sorted(chunk.text for chunk in around[passages[0].chunk_id]) == ["text 2", "text 3", "text 4", "text 5"]
    (found,) = expanded(passages, around)
    assert (found.text, found.start, found.end) == ("text 2\n\n\n\ntext 3\n\n\n\ntext 4\n\n\n\ntext 5", 20, 56)
    assert index.around(passages, 0, "default") == {}
