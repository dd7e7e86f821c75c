"""What a collection holds, and what passages of an answer were from, also after both have changed."""

import pytest
from made_chunks import DIMENSION, document

from plait.errors import CollectionNotFound
from plait.evaluation.live.answer import LivePassage
from plait.index.collection import Index
from plait.index.stores.memory import MemoryStore
from plait.index.stores.store import Store
from plait.lineage.collections import collection_lineage, searched_lineage
from plait.lineage.node import LineageNode

CITED = [LivePassage("text 0", source, f"{source}-0", collection="docs", content_hash="h1") for source in "ab"]


def filled(store: Store, generation: int | None = None, **hashes: str) -> Index:
    index = Index.open_or_create(
        "docs", store, embedding_model="package:embedder", dimension=DIMENSION, generation=generation
    )
    for source, content_hash in hashes.items():
        index.upsert(document(source, content_hash))
    return index


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def notes(node: LineageNode) -> dict[str, str]:
    return {child.name: child.note for child in node.children}


def test_a_collection_stands_above_its_documents_with_their_hashes(store: Store) -> None:
    index = filled(store, b="h2", a="h1")
    index.upsert(document("c", "h3", tenant="acme", first=1))
    index.note_in_step(1_800_000_000)
    found = collection_lineage(store, "docs", None, most=9)
    assert (found.facts["generation"], found.facts["documents"]) == (1, 3)
    assert found.facts["in_step_at"] == "2027-01-15T08:00:00+00:00"
    assert [(child.name, child.facts["content_hash"], child.facts["tenant"]) for child in found.children] == [
        ("c", "h3", "acme"),
        ("a", "h1", "default"),
        ("b", "h2", "default"),
    ]
    assert notes(found) == {"a": "", "b": "", "c": "It is being written, or was left half written."}


def test_documents_of_other_tenants_and_beyond_the_limit_are_not_named(store: Store) -> None:
    filled(store, a="h1", b="h2").upsert(document("secret", "h3", tenant="acme"))
    found = collection_lineage(store, "docs", ["default"], most=1)
    assert (list(notes(found)), found.note) == (["a"], "Named here: 1 of 2 documents.")
    assert list(notes(collection_lineage(store, "docs", ["acme"], most=1))) == ["secret"]
    with pytest.raises(CollectionNotFound):
        collection_lineage(store, "dogs", None, most=1)


def test_documents_of_an_answer_are_as_they_were_or_it_is_said_what_became_of_them(store: Store) -> None:
    index = filled(store, a="h1", b="h1")
    fresh = searched_lineage(store, "docs", 1, "default", CITED)
    assert (fresh.note, notes(fresh)) == ("", {"a": "", "b": ""})
    assert fresh.children[0].facts == {"content_hash": "h1", "chunks": "a-0"}
    index.delete_documents("default", ["a", "b"])
    index.upsert(document("b", "h2"))
    changed = searched_lineage(store, "docs", 1, "default", CITED)
    assert notes(changed) == {
        "a": "The document is gone from the collection.",
        "b": "The document, or how it is cut, has changed since.",
    }


def test_a_generation_or_a_collection_that_is_gone_is_said_at_its_place(store: Store) -> None:
    first = filled(store, a="h1", b="h1")
    second = filled(store, generation=2, a="h1", b="h1")
    second.make_current()
    first.drop_generation()
    replaced = searched_lineage(store, "docs", 1, "default", CITED)
    assert (replaced.facts["generation"], replaced.note) == (
        1,
        "This generation is gone; the collection is at generation 2 now.",
    )
    second.drop()
    gone = searched_lineage(store, "docs", 1, "default", CITED)
    assert (gone.note, notes(gone)) == ("The collection is gone.", {"a": "", "b": ""})


def test_what_an_earlier_version_did_not_record_is_said(store: Store) -> None:
    filled(store, a="h1")
    found = searched_lineage(store, "docs", None, "", [LivePassage("text 0", "a", "a-0")])
    assert found.note == "Which generation was searched was not recorded."
    assert notes(found) == {"a": "Its hash was not recorded."}
