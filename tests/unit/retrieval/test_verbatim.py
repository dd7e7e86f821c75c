import difflib
import doctest
import time

from hypothesis import given
from hypothesis import strategies as st

import plait.retrieval.verbatim
from plait.index.passage import Passage
from plait.retrieval.verbatim import repeated

SOURCE = "# Ray\n\nThe installed version of ray is 2.60.0.\nIts licence is Apache 2.0."


def passage(start: int = 0, end: int | None = None) -> Passage:
    text = SOURCE[start:end]
    return Passage("1", "ray.md", "Ray", "", text, start, start + len(text), 0.9)


def test_the_example_holds() -> None:
    assert doctest.testmod(plait.retrieval.verbatim).failed == 0


def test_the_span_is_that_of_the_source_also_for_a_passage_from_its_middle() -> None:
    found = repeated("I think that its licence is APACHE 2.0, yes.", passage(start=20))
    assert found is not None
    assert found.text == SOURCE[found.start : found.end] == "Its licence is Apache 2.0"


def test_a_short_answer_counts_when_all_of_it_is_there() -> None:
    found = repeated("2.60.0", passage())
    assert found is not None
    assert SOURCE[found.start : found.end] == "2.60.0"
    assert repeated("2.61.0", passage()) is None


def test_words_that_any_text_has_are_no_quotation() -> None:
    assert repeated("The weather of today is fine; version unknown", passage()) is None
    assert repeated("", passage()) is None
    assert repeated("…", passage()) is None


@given(st.integers(0, len(SOURCE)), st.integers(0, len(SOURCE)), st.text("Ray. 20license\n", max_size=40))
def test_whatever_is_found_stands_in_the_source_and_in_the_answer(start: int, length: int, said: str) -> None:
    answer = f"{said} {SOURCE[start : start + length]}"
    found = repeated(answer, passage(start=min(start, 10)))
    if found is not None:
        assert SOURCE[found.start : found.end] == found.text
        first, *_ = found.text.split()
        assert first.lower() in answer.lower()


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_longest_run_is_the_one_that_difflib_finds(said: list[str], there: list[str]) -> None:
    found = plait.retrieval.verbatim._longest_run(said, there)
    assert found == difflib.SequenceMatcher(None, said, there, autojunk=False).find_longest_match()


def test_an_answer_that_says_one_word_again_and_again_holds_nobody_up() -> None:
    text = "ray " * 4000
    started = time.perf_counter()
    assert repeated(text, Passage("1", "ray.md", "", "", text, 0, len(text), 0.9)) is not None
    assert time.perf_counter() - started < 3  # by difflib, which compares every word with every word: more than 8 s
