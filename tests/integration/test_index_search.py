from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.documents.chunk import Chunk, chunk_table
from plait.errors import InvalidInput
from plait.index.collection import Index
from plait.index.filters import read_filter
from plait.index.search import Mode, Search
from plait.index.stores.store import Store

TEXTS = (
    "Ray runs tasks on a cluster",
    "A fox is an animal of the forest",
    "The fox, the fox and the fox again",
    "Pass --no-cache to pip install",
    "Clusters have many machines",
)


@pytest.fixture(scope="module")
def index(milvus: Store) -> Iterator[Index]:
    """Five texts of the tenant `default`, the same ones of `other`; text i points into direction i."""
    index = Index.open_or_create(f"search_{uuid4().hex}", milvus, embedding_model="model-a", dimension=8)
    for tenant in ("default", "other"):
        index.upsert(chunks_of(TEXTS, tenant))
    yield index
    index.drop()


def chunks_of(texts: Sequence[str], tenant: str = "default", first: int = 0) -> pa.Table:
    chunks = [
        Chunk(
            chunk_id=f"{tenant}-{number}",
            source=f"{'ab'[number % 2]}.md",
            title="Title",
            heading="",
            text=text,
            position=number // 2,
            start=0,
            end=len(text),
            chunk_count=3 - number % 2,
            content_hash="h",
            updated_at=number,
            tenant=tenant,
            metadata={"number": number, "lang": "en" if number < 3 else "de", "tags": [f"t{number}"]},
        )
        for number, text in enumerate(texts, start=first)
    ]
    vectors = np.eye(8, dtype=np.float32)[[chunk.metadata["number"] for chunk in chunks]].reshape(-1)
    return chunk_table(chunks).append_column("dense", pa.FixedSizeListArray.from_arrays(pa.array(vectors), 8))


def towards(*weights: float) -> npt.NDArray[np.float32]:
    """One question that points into the directions 0, 1, … so much."""
    vector = np.zeros((1, 8), np.float32)
    vector[0, : len(weights)] = weights
    return vector / np.linalg.norm(vector)


def numbers(index: Index, how: Search, text: str = "", *weights: float) -> list[int]:
    vectors = towards(*weights) if weights else None
    ((hits),) = index.search(how, [text], vectors)
    return [hit.passage.metadata["number"] for hit in hits]


def test_bm25_finds_words_and_scores_higher_what_has_them_more_often(index: Index) -> None:
    (hits,) = index.search(Search(5, mode="bm25"), ["fox"])
    assert [hit.passage.text for hit in hits] == [TEXTS[2], TEXTS[1]]
    assert hits[0].passage.score > hits[1].passage.score > 0
    assert numbers(index, Search(5, mode="bm25"), "no-cache") == [3]
    assert numbers(index, Search(5, mode="bm25"), "zebra") == []
    assert numbers(index, Search(5, mode="bm25"), "") == []


def test_bm25_knows_titles_and_headings_too(index: Index) -> None:
    assert len(numbers(index, Search(9, mode="bm25"), "title")) == 5


SPOKEN = {
    "东京的天气很好": "天气",
    "黒い猫が好きです": "猫",
    "서울에서 기차를 탔다": "서울",
    "แมวอยู่บนเสื่อ": "แมว",
    "यह पुस्तक हिन्दी में है": "हिन्दी",
    "Das Cafe\u0301 in der Ｓtraße": "café strasse",
    "con\u00adﬁgu\u200bration": "configuration",
}
"""Texts, and questions that have words of one of them alone."""


@pytest.fixture(scope="module")
def many_languages(milvus: Store) -> Iterator[Index]:
    index = Index.open_or_create(f"languages_{uuid4().hex}", milvus, embedding_model="model-a", dimension=8)
    index.upsert(chunks_of(list(SPOKEN)))
    yield index
    index.drop()


def test_bm25_finds_words_of_languages_without_blanks_and_of_any_normal_form(many_languages: Index) -> None:
    found = many_languages.search(Search(3, mode="bm25"), list(SPOKEN.values()))
    assert [[hit.passage.text for hit in hits] for hits in found] == [[text] for text in SPOKEN]


def test_a_bm25_score_does_not_tell_when_a_chunk_was_written(milvus: Store) -> None:
    texts = ["The fox", "A fox of the forest", "The cat", "The dog", "Cat and dog", "A cat", "The fox and the dog"]

    def scores(*batches: Sequence[str]) -> dict[str, float]:
        index = Index.open_or_create(f"search_{uuid4().hex}", milvus, embedding_model="model-a", dimension=8)
        first = 0
        for batch in batches:
            index.upsert(chunks_of(batch, first=first))
            index.flush()
            first += len(batch)
        try:
            (hits,) = index.search(Search(9, mode="bm25"), ["the fox"])
        finally:
            index.drop()
        return {hit.passage.text: hit.passage.score for hit in hits}

    at_once = scores(texts)
    assert list(at_once)[:2] == ["The fox", "The fox and the dog"]
    assert scores(texts[:4], texts[4:6], texts[6:]) == pytest.approx(at_once)


def test_several_questions_are_one_search(index: Index) -> None:
    found = index.search(Search(1, mode="bm25"), ["fox", "zebra", "machines"])
    assert [[hit.passage.text for hit in hits] for hits in found] == [[TEXTS[2]], [], [TEXTS[4]]]
    assert index.search(Search(1, mode="bm25"), []) == []
    assert index.search(Search(1), vectors=np.zeros((0, 8), np.float32)) == []


def test_hybrid_puts_first_what_both_sides_find(index: Index) -> None:
    assert numbers(index, Search(2), "machines", 0.8, 0, 0, 0, 0.6) == [0, 4]
    assert numbers(index, Search(2, mode="bm25"), "machines", 0.8, 0, 0, 0, 0.6) == [4]
    (hits,) = index.search(Search(2, mode="hybrid"), ["machines"], towards(0.8, 0, 0, 0, 0.6))
    assert [hit.passage.text for hit in hits] == [TEXTS[4], TEXTS[0]]
    assert [hit.passage.score for hit in hits] == pytest.approx([0.6, 0.8], abs=1e-5)  # cosines, whatever the order


def test_weights_move_a_hybrid_search_between_its_sides(index: Index) -> None:
    asked = ("machines", 0.8, 0, 0, 0, 0.6)
    assert numbers(index, Search(2, mode="hybrid", dense_weight=1.0), *asked) == [0, 4]
    assert numbers(index, Search(2, mode="hybrid", dense_weight=0.0), *asked)[0] == 4


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ('metadata["lang"] == "de"', {3, 4}),
        ('metadata["number"] > 1 and source == "a.md"', {2, 4}),
        ('json_contains(metadata["tags"], "t1")', {1}),
        ('source like "b%" or updated_at == 0', {0, 1, 3}),
        ('not (metadata["lang"] == "de")', {0, 1, 2}),
        ('metadata["no such key"] == 1', set()),
    ],
)
@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_a_filter_narrows_the_search(index: Index, mode: Mode, condition: str, found: set[int]) -> None:
    assert set(numbers(index, Search(9, mode, condition=read_filter(condition)), "fox", 1, 1, 1, 1, 1)) == found


def test_hits_have_their_vectors_where_they_are_asked_for(index: Index) -> None:
    for mode in ("dense", "hybrid"):
        ((with_it,),) = index.search(Search(1, mode, with_vectors=True), ["fox"], towards(0, 0, 1))
        ((without,),) = index.search(Search(1, mode), ["fox"], towards(0, 0, 1))
        assert with_it.vector is not None
        assert with_it.vector.tolist() == np.eye(8)[2].tolist()
        assert without.vector is None


_TRUTHS = ("true", "1 == 1", 'tenant == "other"', 'tenant != "x"', 'chunk_id != ""', "position >= 0")
_BETWEEN = (
    " or ",
    " and ",
    " or not ",
    " || ",
    ") or (",
    ")) or ((",
    ") || (",
    "] or [",
    '" or "',
    "' or '",
    '\\" or (',
)
_ANYTHING = (
    "(",
    ")",
    "[",
    '"',
    "'",
    "\\",
    '\\"',
    'r"',
    "\x00",
    "#",
    "--",
    "/*",
    ";",
    "{",
    "$meta",
    " in ",
    "not ",
    "x",
)


@st.composite
def conditions(draw: st.DrawFn) -> str:
    """What might reach out of its brackets: truths, put together by closing and opening what is around them."""
    condition = draw(st.sampled_from(_TRUTHS))
    for _ in range(draw(st.integers(0, 3))):
        condition += draw(st.sampled_from(_BETWEEN)) + draw(st.sampled_from(_TRUTHS))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(condition)))
        condition = condition[:place] + draw(st.sampled_from(_ANYTHING) | st.text(max_size=3)) + condition[place:]
    return condition


@settings(max_examples=400, deadline=None)
@given(condition=conditions(), mode=st.sampled_from(["dense", "hybrid"]))
def test_no_filter_whatsoever_reaches_another_tenant(index: Index, condition: str, mode: Any) -> None:
    try:
        (hits,) = index.search(Search(20, mode, condition=read_filter(condition)), ["fox"], towards(1, 1, 1, 1, 1))
    except InvalidInput:
        return
    assert all(hit.passage.chunk_id.startswith("default-") for hit in hits)


@pytest.mark.parametrize(
    "condition", ["true", "1 == 1 or true", 'tenant == "other" or true', 'not (tenant == "default") or tenant != "x"']
)
@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_a_condition_that_is_always_true_finds_the_tenants_own(index: Index, mode: Mode, condition: str) -> None:
    (hits,) = index.search(Search(20, mode, condition=read_filter(condition)), ["fox"], towards(1, 1, 1, 1, 1))
    assert hits
    assert all(hit.passage.chunk_id.startswith("default-") for hit in hits)
