"""What every store does alike, so that an index needs to know none of them."""

import pickle
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from plait.errors import CollectionNotFound, DataError
from plait.index.conditions import (
    EVERY_ROW,
    NO_ROW,
    And,
    Compare,
    Condition,
    Contains,
    Equals,
    Exists,
    Field,
    Like,
    Not,
    OneOf,
    Or,
)
from plait.index.search import Search
from plait.index.stores.memory import MemoryStore
from plait.index.stores.store import Row, Schema, Store, StoreCollection

SCHEMA = Schema("id", {"id": 64, "tenant": 64, "source": 64}, ["number"], ["metadata"], dimension=4, words_bytes=1_000)
SOURCE, NUMBER, TENANT = Field("source"), Field("number"), Field("tenant")
LANG, TAGS, YEAR = (Field("metadata", (key,)) for key in ("lang", "tags", "year"))
METADATA: tuple[dict[str, Any], ...] = (
    {"lang": "en", "tags": ["a", "b"], "year": 2024},
    {"lang": "de", "tags": [], "year": 2025.5},
    {"lang": 'e"n\\', "year": "2024"},
    {"nested": [{"lang": "en"}]},
)
WORDS = ("the fox and the fox", "a fox in the house", "some cat", "some dog")


def rows(tenant: str) -> list[Row]:
    """Four rows; row i points into direction i."""
    return [
        {
            "id": f"{tenant}-{number}",
            "tenant": tenant,
            "source": f"{'ab'[number % 2]}%.md",
            "number": number,
            "metadata": metadata,
            "dense": np.eye(4, dtype=np.float32)[number],
            "words": WORDS[number],
        }
        for number, metadata in enumerate(METADATA)
    ]


@pytest.fixture(scope="module", params=["memory", "milvus"])
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("milvus")


def made(store: Store, **properties: str) -> StoreCollection:
    return store.create(f"contract_{uuid4().hex}", SCHEMA, properties)


@pytest.fixture(scope="module")
def held(store: Store) -> Iterator[StoreCollection]:
    """The same rows of the tenants `ours` and `theirs`; tests only read it."""
    collection = made(store)
    collection.upsert([*rows("ours"), *rows("theirs")])
    collection.flush()
    yield collection
    store.drop(collection.name)


@pytest.fixture
def changed(store: Store) -> Iterator[StoreCollection]:
    """The same rows, for a test to change."""
    collection = made(store)
    collection.upsert([*rows("ours"), *rows("theirs")])
    yield collection
    store.drop(collection.name)


def ids(collection: StoreCollection, where: Condition = EVERY_ROW) -> list[str]:
    return sorted(row["id"] for row in collection.scan(where, ["id"]))


def numbers(collection: StoreCollection, how: Search, words: str = "", *vector: float) -> list[int]:
    directions = np.array([vector], np.float32) if vector else None
    ((found),) = collection.search(how, ["id", "tenant", "number"], [words], directions)
    assert all(one.row["tenant"] == how.tenant for one in found)
    return [one.row["number"] for one in found]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (EVERY_ROW, {0, 1, 2, 3}),
        (NO_ROW, set()),
        (Equals(NUMBER, 2), {2}),
        (Equals(YEAR, 2024), {0}),
        (Equals(YEAR, "2024"), {2}),
        (Equals(LANG, 'e"n\\'), {2}),
        (Equals(Field("metadata", ("nested", 0, "lang")), "en"), {3}),
        (OneOf(SOURCE, ("a%.md", "c.md")), {0, 2}),
        (OneOf(LANG, ("en", "de", 7)), {0, 1}),
        (OneOf(LANG, ()), set()),
        (Not(OneOf(SOURCE, ())), {0, 1, 2, 3}),
        (Compare(NUMBER, ">=", 2), {2, 3}),
        (Compare(YEAR, ">", 2024), {1}),
        (Compare(LANG, "<", "e"), {1}),
        (Like(SOURCE, "a%"), {0, 2}),
        (Like(SOURCE, r"_\%.md"), {0, 1, 2, 3}),
        (Like(SOURCE, r"a\_.md"), set()),
        (Like(LANG, "e%"), {0, 2}),
        (Exists(TAGS), {0, 1}),
        (Not(Exists(TAGS)), {2, 3}),
        (Contains(TAGS, "a"), {0}),
        (Not(Equals(LANG, "en")), {1, 2}),  # 3 has none: neither it nor its opposite
        (Or((Not(Exists(LANG)), Not(Equals(LANG, "en")))), {1, 2, 3}),
        (And((Compare(NUMBER, ">", 0), Or((Equals(LANG, "de"), Equals(NUMBER, 3))))), {1, 3}),
        (Not(And((Compare(NUMBER, ">", 0), Equals(SOURCE, "b%.md")))), {0, 2}),
    ],
)
def test_a_condition_means_the_same_rows_everywhere(
    held: StoreCollection, where: Condition, expected: set[int]
) -> None:
    of_ours = And((Equals(TENANT, "ours"), where))
    assert ids(held, of_ours) == [f"ours-{number}" for number in sorted(expected)]
    assert set(numbers(held, Search(9, tenant="ours", condition=where), "", 1, 1, 1, 1)) == expected


@pytest.mark.parametrize(
    "condition",
    [
        EVERY_ROW,
        Or((Equals(TENANT, "theirs"), EVERY_ROW)),
        Not(Equals(TENANT, "ours")),
        Equals(TENANT, 'x" or tenant == "theirs'),
        Or((Equals(LANG, '"] == 1) or (tenant != "'), Equals(Field("metadata", ('"] or true or metadata["x',)), 1))),
    ],
)
@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_no_condition_reaches_another_tenant(held: StoreCollection, condition: Condition, mode: Any) -> None:
    numbers(held, Search(9, mode, "ours", condition), "fox cat dog", 0.5, 0.5, 0.5, 0.5)  # it looks at tenants itself


def test_dense_search_orders_by_the_cosine(held: StoreCollection) -> None:
    questions = np.array([[0, 0.6, 0.8, 0], [1, 0, 0, 0]], np.float32)
    first, second = held.search(Search(2, tenant="ours", with_vectors=True), ["id"], [], questions)
    assert [(found.row["id"], round(found.score, 4)) for found in first] == [("ours-2", 0.8), ("ours-1", 0.6)]
    assert second[0].row == {"id": "ours-0"}
    assert second[0].vector is not None
    assert second[0].vector.tolist() == [1, 0, 0, 0]


def test_a_search_by_words_finds_what_has_them_and_more_often_first(held: StoreCollection) -> None:
    by_words = Search(9, "bm25", "ours")
    fox, cat, none = held.search(by_words, ["number"], ["Fox", "cat", "zebra"], None)
    assert [found.row["number"] for found in fox] == [0, 1]
    assert fox[0].score > fox[1].score > 0
    assert [found.row["number"] for found in cat] == [2]
    assert none == []
    assert held.search(by_words, ["number"], [], None) == []
    assert held.search(Search(9, tenant="ours"), ["number"], [], np.zeros((0, 4), np.float32)) == []


def test_hybrid_search_puts_first_what_both_sides_find(held: StoreCollection) -> None:
    vector = (0.8, 0, 0.6, 0)
    assert numbers(held, Search(2, "hybrid", "ours"), "cat", *vector) == [2, 0]
    assert numbers(held, Search(2, "hybrid", "ours", dense_weight=1.0), "cat", *vector) == [0, 2]
    assert numbers(held, Search(2, "hybrid", "ours", dense_weight=0.0), "cat", *vector)[0] == 2


def test_an_upsert_replaces_by_the_key(changed: StoreCollection) -> None:
    changed.upsert([rows("ours")[0] | {"source": "new.md", "metadata": {"é": [1, None]}}])
    assert len(ids(changed)) == 8
    (row,) = changed.scan(Equals(Field("id"), "ours-0"), ["source", "metadata", "number"])
    assert row["source"] == "new.md"
    assert row["metadata"] == {"é": [1, None]}
    assert changed.look_up(Equals(Field("id"), "ours-1"), ["number"])[0]["number"] == 1


def test_deleting_leaves_what_does_not_meet_the_condition(changed: StoreCollection) -> None:
    changed.delete(And((Equals(TENANT, "ours"), OneOf(SOURCE, ("a%.md",)))))
    assert ids(changed, Equals(TENANT, "ours")) == ["ours-1", "ours-3"]
    assert len(ids(changed, Equals(TENANT, "theirs"))) == 4
    changed.delete(Equals(SOURCE, "nowhere.md"))
    assert len(ids(changed)) == 6


def test_a_value_that_does_not_fit_is_an_error_of_the_data(changed: StoreCollection) -> None:
    with pytest.raises(DataError, match="refuses a value"):
        changed.upsert([rows("ours")[0] | {"source": "x" * 65}])


def test_properties_stay_with_the_collection(store: Store) -> None:
    collection = made(store, first="1")
    collection.set_property("second", "two")
    assert {"first": "1", "second": "two"}.items() <= collection.properties().items()
    again = store.open(collection.name)
    assert again is not None
    again.load()
    assert again.properties()["second"] == "two"
    assert (again.dimension, again.has_bm25) == (4, True)
    assert {"id", "tenant", "source", "number", "metadata", "dense", "words"} <= again.fields
    assert store.collections()[collection.name]["first"] == "1"
    store.drop(collection.name)


def test_a_collection_is_created_once(store: Store) -> None:
    first = made(store, by="first")
    second = store.create(first.name, SCHEMA, {"by": "second"})
    assert second.properties()["by"] == "first"
    store.drop(first.name)


def test_an_alias_moves_from_one_collection_to_the_next(store: Store) -> None:
    one, two, alias = made(store), made(store), f"alias_{uuid4().hex}"
    assert store.collection_of(alias) is None
    for collection in (one, two):
        store.point(alias, collection.name)
        assert store.collection_of(alias) == collection.name
        opened = store.open(alias)
        assert opened is not None
        assert opened.name == collection.name
    assert (store.aliases(one.name), store.aliases(two.name)) == ([], [alias])
    assert store.collection_of(one.name) == one.name
    store.drop_alias(alias)
    assert store.collection_of(alias) is None
    for collection in (one, two):
        store.drop(collection.name)


def test_a_collection_that_is_dropped_is_not_found(store: Store) -> None:
    collection = made(store)
    collection.upsert(rows("ours"))
    store.drop(collection.name)
    assert store.open(collection.name) is None
    for use in (
        lambda: ids(collection),
        lambda: numbers(collection, Search(1, tenant="ours"), "", 1, 0, 0, 0),
        lambda: collection.properties(),
    ):
        with pytest.raises(CollectionNotFound):
            use()


def test_rows_may_have_no_vectors(store: Store) -> None:
    plain = Schema("id", {"id": 64, "tenant": 64}, ["number"])
    collection = store.create(f"contract_{uuid4().hex}", plain, {})
    collection.upsert([{"id": "a", "tenant": "ours", "number": 2**62}])
    assert [row["number"] for row in collection.scan(EVERY_ROW, ["number"])] == [2**62]
    store.drop(collection.name)


def test_a_process_that_is_sent_a_store_finds_its_collections(store: Store) -> None:
    collection = made(store)
    sent = pickle.loads(pickle.dumps(store))
    assert sent.address == store.address
    assert collection.name in sent.collections()
    store.drop(collection.name)


def test_a_store_says_what_it_is_and_that_it_answers(store: Store) -> None:
    assert store.address
    assert store.product
    assert "bm25" in store.capabilities
    store.check_answers(5)
