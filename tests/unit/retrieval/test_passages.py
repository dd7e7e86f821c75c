from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.index.passage import Passage
from plait.models.message import Message
from plait.retrieval.context import with_passages
from plait.retrieval.neighbours import expanded
from plait.retrieval.selection import capped_by_source, diversified, without_duplicates

DOCUMENT = "Alpha one.\n\nBeta two three.\nGamma four.\n\n\nDelta five six.\n\nEpsilon."
PARTS = ("Alpha one.", "Beta two three.", "Gamma four.", "Delta five six.", "Epsilon.")


def passage(name: str, text: str = "", source: str = "a.md", score: float = 0.5) -> Passage:
    return Passage(name, source, "", "", text or name, 0, len(text or name), score)


def part(position: int) -> Passage:
    """A chunk of DOCUMENT."""
    text = PARTS[position]
    start = DOCUMENT.index(text)
    return Passage(f"c{position}", "a.md", "", "", text, start, start + len(text), 1 - position / 10, position)


def around(reach: int, *positions: int) -> dict[str, list[Passage]]:
    return {
        f"c{position}": [part(i) for i in range(max(0, position - reach), min(len(PARTS), position + reach + 1))]
        for position in positions
    }


# ------------------------------------------------------------ diversity


def test_what_is_relevant_and_new_comes_before_what_repeats() -> None:
    vectors = {"a": np.array([1, 0]), "same": np.array([1, 0]), "new": np.array([0, 1])}
    given = [passage(name) for name in vectors]
    vectors = {name: vector.astype(np.float32) for name, vector in vectors.items()}
    assert [p.chunk_id for p in diversified(given, vectors, 0.5)] == ["a", "new", "same"]
    assert [p.chunk_id for p in diversified(given, vectors, 1.0)] == ["a", "same", "new"]
    assert diversified([], {}, 0.5) == []


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**31))
def test_diversity_loses_no_passage_and_keeps_the_best_first(count: int, share: float, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    given = [passage(str(i)) for i in range(count)]
    found = diversified(given, {str(i): v / np.linalg.norm(v) for i, v in enumerate(vectors)}, share)
    assert sorted(p.chunk_id for p in found) == sorted(p.chunk_id for p in given)
    if share > 0:
        assert found[0] == given[0]


# ------------------------------------------------------------ duplicates and caps


def test_a_passage_that_repeats_a_better_one_is_left_out() -> None:
    long = "the quick brown fox jumps over the lazy dog and then it sleeps in the sun all day"
    found = without_duplicates(
        [
            passage("best", long),
            passage("copy", long.upper() + " ", source="b.md"),
            passage("piece", "jumps over the lazy dog and then"),
            passage("other", "the quick brown fox is an animal that nobody has ever seen near here"),
            passage("short", "yes"),
            passage("short again", "Yes"),
        ]
    )
    assert [p.chunk_id for p in found] == ["best", "other", "short"]


def test_a_source_has_no_more_passages_than_its_cap() -> None:
    given = [passage(f"{source}{i}", source=source) for i in range(3) for source in ("a", "b")]
    assert [p.chunk_id for p in capped_by_source(given, 2)] == ["a0", "b0", "a1", "b1"]


# ------------------------------------------------------------ neighbours


def test_a_passage_with_its_neighbours_is_one_text_of_the_span_that_it_names() -> None:
    (found,) = expanded([part(2)], around(1, 2))
    assert (found.chunk_id, found.score, found.chunk) == ("c2", part(2).score, part(2))
    assert found.text == "Beta two three.\nGamma four.\n\n\nDelta five six."
    assert found.text == DOCUMENT[found.start : found.end]


def test_what_overlaps_stands_once() -> None:
    first = Passage("x", "a.md", "", "", "abcdef", 0, 6, 0.5, 0)
    second = Passage("y", "a.md", "", "", "efgh", 4, 8, 0.5, 1)
    (found,) = expanded([first], {"x": [first, second]})
    assert (found.text, found.start, found.end) == ("abcdefgh", 0, 8)


def test_passages_that_share_a_neighbour_become_one_in_the_place_of_the_best() -> None:
    other = passage("z", "elsewhere", source="b.md")
    found = expanded([part(3), other, part(1)], around(1, 1, 3))
    assert [p.chunk_id for p in found] == ["c3", "z"]
    assert found[0].text == DOCUMENT
    assert found[0].chunk == part(3)


def test_a_passage_that_joins_two_others_leaves_one() -> None:
    found = expanded([part(0), part(4), part(2)], around(1, 0, 2, 4))
    assert [(p.chunk_id, p.text) for p in found] == [("c0", DOCUMENT)]


def test_text_that_was_left_out_is_not_bridged() -> None:
    far = replace(part(3), start=1000, end=1015)
    (found,) = expanded([part(2)], {"c2": [part(1), far]})
    assert found.text == "Beta two three.\nGamma four."


def test_without_neighbours_a_passage_stays_what_it_is() -> None:
    assert expanded([part(1), part(3)], {}) == [part(1), part(3)]


@given(st.lists(st.integers(0, 4), unique=True, min_size=1), st.integers(0, 3))
def test_every_expanded_text_is_that_of_its_span_and_no_chunk_comes_twice(positions: list[int], reach: int) -> None:
    found = expanded([part(i) for i in positions], around(reach, *positions))
    for one in found:
        assert one.text.split() == DOCUMENT[one.start : one.end].split()
        assert len(one.text) == one.end - one.start
    spans = sorted((one.start, one.end) for one in found)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert found[0].chunk_id == f"c{positions[0]}"


# ------------------------------------------------------------ the prompt

ASKED = [Message("user", "Which?")]


def test_the_best_passages_stand_at_the_ends_of_the_context() -> None:
    grounded = with_passages(ASKED, [passage(f"p{i}") for i in range(5)], 1000, len)
    system = grounded.messages[0].content
    places = [system.index(f"p{i}") for i in range(5)]
    assert sorted(range(5), key=places.__getitem__) == [1, 3, 4, 2, 0]
    assert [p.chunk_id for p in grounded.passages] == [f"p{i}" for i in range(5)]


@pytest.mark.parametrize(("budget", "text"), [(1000, DOCUMENT), (80, "Gamma four.")])
def test_neighbours_come_along_where_there_is_room(budget: int, text: str) -> None:
    grounded = with_passages(ASKED, expanded([part(2)], around(2, 2)), budget, len)
    assert [p.text for p in grounded.passages] == [text]
