"""OpenAI's filters against a real index: none leaves its tenant, and odd keys and values are found as what they are."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError

from plait.documents.chunk import Chunk, chunk_table
from plait.errors import InvalidInput
from plait.index.collection import Index
from plait.index.conditions import Condition
from plait.index.search import Search
from plait.index.stores.store import Store
from plait.serve.api.attribute_filters import AttributeFilter

ODD = [
    'a "quoted" one',
    "it's",
    'back\\slash \\" and \\\\',
    "100% _under_",
    "new\nline",
    "中文 é \U0001f426",
    'x" or tenant != "x',
    "{{}} ${a} $meta",
    "",
]
"""Values, keys and names; each is one document's of either tenant."""
OUT = 'x" or tenant == "other" or "a" == "b'
ADAPTER: TypeAdapter[Any] = TypeAdapter(AttributeFilter)


def one(type: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": type, "key": key, "value": value}


def both(type: str, *filters: dict[str, Any]) -> dict[str, Any]:
    return {"type": type, "filters": list(filters)}


def nested(depth: int) -> dict[str, Any]:
    tree = one("ne", "tenant", "x")
    for level in range(depth):
        tree = both("or" if level % 2 else "and", tree)
    return tree


ALWAYS = one("ne", "no such key", "x")
LEAVING = [
    *(one(type, "tenant", "other") for type in ("eq", "ne", "gt", "lte")),
    *(one(type, "tenant", ["other", "default"]) for type in ("in", "nin")),
    *(one("ne", key, "x") for key in ("Tenant", "$meta", "metadata", "chunk_id", "*", "source", "filename", "text")),
    *(
        one("eq", key, True)
        for key in ('"', "'", "\\", '"]', '"] or tenant == "other" or metadata["x', "\\x22] or true")
    ),
    *(one("eq", key, 1) for key in ('a"] == 1) or (tenant != "', "a'] or ['", "a\\", "\n) or (true", "]) or (1 == 1")),
    *(one(type, "lang", OUT) for type in ("eq", "ne", "gt")),
    one("in", "lang", [OUT, 'x"] or true']),
    one("nin", "lang", []),
    one("in", "lang", []),
    *(one(type, "filename", value) for type in ("eq", "ne") for value in (OUT, "%", "_", "%' or true", 'a" or true')),
    one("in", "filename", ["%", '" or tenant == "other', "\\"]),
    one("eq", "lang", 'en") or (tenant == "other'),
    one("eq", "lang", "en\\"),
    one("eq", "lang", 'en\\" or true or "'),
    one("eq", "lang", "\x00"),
    one("eq", "lang", "“ or true or ”"),
    one("ne", "number", 1e300),
    both("or", ALWAYS, one("eq", "tenant", "other")),
    both("or", one("eq", "tenant", "other"), both("and", ALWAYS, both("or", ALWAYS, one("nin", "a", [OUT])))),
    both("and", both("or", *[ALWAYS] * 5)),
    nested(8),
    nested(40),
    nested(200),
]


def chunks_of(tenant: str) -> pa.Table:
    chunks = [
        Chunk(
            chunk_id=f"{tenant}-{number}",
            source=f"{odd}.md",
            title="Title",
            heading="",
            text=f"the fox {number}",
            position=0,
            start=0,
            end=9,
            chunk_count=1,
            content_hash="h",
            updated_at=number,
            tenant=tenant,
            metadata={"lang": odd, "number": number, **({odd: "here"} if odd else {})},
        )
        for number, odd in enumerate(ODD)
    ]
    vectors = np.ones((len(chunks), 8), np.float32) / np.sqrt(8)
    dense = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 8)
    return chunk_table(chunks).append_column("dense", dense)


@pytest.fixture(scope="module")
def index(milvus: Store) -> Iterator[Index]:
    """The same documents of the tenants `default` and `other`."""
    index = Index.open_or_create(f"filters_{uuid4().hex}", milvus, embedding_model="model-a", dimension=8)
    for tenant in ("default", "other"):
        index.upsert(chunks_of(tenant))
    yield index
    index.drop()


def found(index: Index, condition: Condition) -> set[str]:
    vectors = np.ones((1, 8), np.float32)
    (hits,) = index.search(Search(30, "hybrid", condition=condition), ["fox"], vectors)
    return {hit.passage.chunk_id for hit in hits}


def test_a_filter_that_is_always_true_finds_all_of_its_tenant(index: Index) -> None:
    assert found(index, ADAPTER.validate_python(one("nin", "lang", [])).condition()) == {
        f"default-{number}" for number in range(len(ODD))
    }


@pytest.mark.parametrize("tree", LEAVING, ids=lambda tree: str(tree)[:80])
def test_no_tree_of_filters_leaves_its_tenant(index: Index, tree: dict[str, Any]) -> None:
    try:
        condition = ADAPTER.validate_python(tree).condition()
        ids = found(index, condition)
    except (InvalidInput, ValidationError):
        return
    assert all(chunk_id.startswith("default-") for chunk_id in ids)


@pytest.mark.parametrize("number", range(len(ODD)), ids=lambda number: repr(ODD[number]))
def test_an_odd_value_key_or_name_is_found_as_what_it_is(index: Index, number: int) -> None:
    odd = ODD[number]
    trees = [one("eq", "lang", odd), one("in", "lang", [odd]), one("eq", "filename", f"{odd}.md")]
    trees += [one("eq", odd, "here")] if odd else []
    for tree in trees:
        assert found(index, ADAPTER.validate_python(tree).condition()) == {f"default-{number}"}, tree


@pytest.mark.parametrize(
    ("tree", "numbers"),
    [
        (one("ne", "number", 3), {0, 1, 2, 4, 5, 6, 7, 8}),
        (one("nin", "number", [3, 4, "5"]), {0, 1, 2, 5, 6, 7, 8}),
        (one("ne", "it's", "here"), {0, 2, 3, 4, 5, 6, 7, 8}),
        (one("nin", "it's", ["here", "there"]), {0, 2, 3, 4, 5, 6, 7, 8}),
        (one("ne", "it's", "there"), set(range(9))),
        (one("ne", "no such key", False), set(range(9))),
        (both("and", one("ne", "it's", "here"), one("lt", "number", 3)), {0, 2}),
        (both("or", one("eq", "number", 1), one("ne", "number", 1)), set(range(9))),
        (one("eq", "lang", "中文 e\u0301 \U0001f426"), {5}),
        (one("in", "filename", ["中文 e\u0301 \U0001f426.md"]), {5}),
        (one("ne", "filename", "中文 e\u0301 \U0001f426.md"), {0, 1, 2, 3, 4, 6, 7, 8}),
    ],
)
def test_an_attribute_that_is_not_there_equals_nothing_and_any_normal_form_is_the_same(
    index: Index, tree: dict[str, Any], numbers: set[int]
) -> None:
    assert found(index, ADAPTER.validate_python(tree).condition()) == {f"default-{number}" for number in numbers}
