"""A question: what of it is searched for, and what of it the embedding model reads.

In: a question of any length. Out: the text to search for, or nothing where the question holds no word: every passage is
as near to it as any other, and what a search finds for it is chance. And a vector: of a question that is longer than
the model reads, that of its beginning and its end. People put what they want to know before or after what they paste,
so both ends say more than the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plait.index.words import from_word_to_word, has_words
from plait.models.embedding import Embedding
from plait.models.vectors import Vectors

MAX_CHARACTERS = 16_384
"""Of a question are searched for: dense models read a fraction of that, and every word more makes BM25 slower for
everybody."""
_KEPT, _STEPS = 0.9, 44  # of a part that is too long still, until a hundredth is left


@dataclass(frozen=True)
class Question:
    """The text to search for; `is_cut`: it is the beginning and the end of what was asked."""

    text: str
    is_cut: bool = False

    @classmethod
    def of(cls, asked: str) -> "Question | None":
        """What was asked; None: it holds no letter and no digit, so there is nothing to look for."""
        text = asked.strip()
        if not has_words(text):
            return None
        if len(text) > MAX_CHARACTERS:
            text = from_word_to_word(text)  # so that both ends have words
        if len(text) <= MAX_CHARACTERS:
            return cls(text)
        half = MAX_CHARACTERS // 2
        return cls(f"{text[:half]}\n{text[-half + 1 :]}", is_cut=True)


@dataclass(frozen=True)
class ReadQuestion:
    """What a model reads of a question: all of it, or its beginning and its end. `is_cut`: between them is more."""

    parts: tuple[str, ...]
    is_cut: bool = False


@dataclass(frozen=True)
class EmbeddedQuestions:
    """`vectors`: float32 [n, dimension] of unit length; `are_cut`: of which question not all was read."""

    vectors: Vectors
    are_cut: tuple[bool, ...]


def read_question(model: Embedding, question: str) -> ReadQuestion:
    """The parts of a question, each no longer than the model reads; of one that is longer, each has a word."""
    prompt = model.prompts.query
    if len((prompt + question).encode()) + 2 <= model.max_tokens:  # a token is a byte at least; two are special
        return ReadQuestion((question,))
    for asked in (question, from_word_to_word(question) or question):
        (tokens,) = model.count_tokens([prompt + asked])
        if tokens <= model.max_tokens:
            return ReadQuestion((asked,))
    question = asked
    length = len(question) * model.max_tokens // tokens
    beginning = _readable(model, prompt, [question[:size] for size in _sizes(length)])
    end = _readable(model, prompt, [question[-size:] for size in _sizes(length)])
    return ReadQuestion((beginning, end), len(beginning) + len(end) < len(question))


def _sizes(length: int) -> list[int]:
    """Fewer and fewer characters, by tenths, down to a few."""
    return [max(1, int(length * _KEPT**step)) for step in range(_STEPS)]


def _readable(model: Embedding, prompt: str, parts: Sequence[str]) -> str:
    """The first of some parts that the model reads whole."""
    return next((part for part in parts if model.count_tokens([prompt + part])[0] <= model.max_tokens), parts[-1])


def joined(read: Sequence[ReadQuestion], vectors: Vectors) -> EmbeddedQuestions:
    """The vectors of questions from those of their parts: of several parts the mean, at unit length."""
    are_cut = tuple(question.is_cut for question in read)
    if len(vectors) == len(read):
        return EmbeddedQuestions(vectors, are_cut)
    ends = np.cumsum([len(question.parts) for question in read])[:-1]
    means = np.stack([part.mean(axis=0) for part in np.split(vectors, ends)])
    unit: Vectors = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return EmbeddedQuestions(unit.astype(np.float32), are_cut)


def embed_questions(model: Embedding, questions: Sequence[str]) -> EmbeddedQuestions:
    """Vectors of at least one question."""
    read = [read_question(model, question) for question in questions]
    return joined(read, model.encode_queries([part for question in read for part in question.parts]))
