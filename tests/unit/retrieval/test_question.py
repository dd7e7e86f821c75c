"""What of a question is searched for: nothing without a word, both ends of one that is too long."""

from collections.abc import Sequence

import numpy as np
import pytest

from plait.models.vectors import Prompts, Vectors
from plait.retrieval.question import MAX_CHARACTERS, Question, embed_questions, read_question


class TenWords:
    """An embedding model that reads ten words, its prompt among them; a vector says which of some words are there."""

    name, dimension, max_tokens, prompts = "words", 3, 10, Prompts(query="find: ")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode_passages(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        raise NotImplementedError

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        has = [[float(word in text.split()[:9]) for word in ("first", "last", "middle")] for text in texts]
        vectors = np.array(has, np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@pytest.mark.parametrize("asked", ["", " ", "?!", "\U0001f389", "\u200b", "...\n"])
def test_a_question_without_a_word_is_none(asked: str) -> None:
    assert Question.of(asked) is None


def test_a_question_is_searched_for_as_it_is_up_to_a_length_and_then_by_its_ends() -> None:
    assert Question.of(" why? ") == Question("why?")
    assert Question.of("y" * MAX_CHARACTERS) == Question("y" * MAX_CHARACTERS)
    long = Question.of("first " + "x" * MAX_CHARACTERS + " last")
    assert long is not None
    assert long.is_cut
    assert (len(long.text), long.text[:6], long.text[-5:]) == (MAX_CHARACTERS, "first ", " last")


def test_the_words_of_a_question_are_searched_for_wherever_they_stand() -> None:
    signs = "?" * 20_000
    assert Question.of(f"{signs}refund{signs}") == Question("refund")
    assert Question.of(f"{signs} is{signs[: MAX_CHARACTERS // 4]}it {signs}") == Question(
        f"is{signs[: MAX_CHARACTERS // 4]}it"
    )
    long = Question.of(f"{signs}first{signs}last{signs}")
    assert long is not None
    assert (long.is_cut, long.text[:6], long.text[-5:]) == (True, "first?", "?last")
    few = "? " * 20
    beginning, end = read_question(TenWords(), f"{few}first {few}last {few}").parts
    assert (beginning[:5], end[-4:]) == ("first", "last")
    assert read_question(TenWords(), f"{few}first {few}").parts == ("first",)


def test_a_question_longer_than_the_model_reads_is_embedded_by_its_beginning_and_its_end() -> None:
    short, two = "first x", "first " + "x " * 12 + "last"
    three = "first " + "x " * 20 + "middle " + "x " * 20 + "last"
    embedded = embed_questions(TenWords(), [short, two, three])
    np.testing.assert_allclose(
        embedded.vectors, [[1, 0, 0], [0.5**0.5, 0.5**0.5, 0], [0.5**0.5, 0.5**0.5, 0]], atol=1e-6
    )
    assert embedded.are_cut == (False, False, True)
    for part in read_question(TenWords(), three).parts:
        assert len(f"find: {part}".split()) <= 10


def test_questions_that_the_model_reads_whole_are_embedded_as_they_are() -> None:
    embedded = embed_questions(TenWords(), ["first", "last", "first last"])
    assert embedded.vectors.tolist() == TenWords().encode_queries(["first", "last", "first last"]).tolist()
