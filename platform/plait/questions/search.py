"""Searching the passages of a corpus in memory, by words and by meaning, to see whether a question finds its passage.

What either finds counts: a filter by words alone would leave questions that search by words answers best.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from scipy import sparse

from plait.documents.chunk import Chunk
from plait.evaluation.answers import is_correct
from plait.index.words import analyzed
from plait.models.embedding import Embedding
from plait.models.vectors import Vectors
from plait.questions.fact import Fact

_K1, _B = 1.2, 0.75  # Robertson and Zaragoza 2009, doi:10.1561/1500000019
_WORD = re.compile(r"\w+")
_QUESTIONS_AT_ONCE = 256


class PassageSearch:
    """BM25 over passages, and, with an embedding model, cosines of their vectors, which are made when first needed.

    Args:
        passages: are searched as they are embedded: with title and heading.
        embedding: loads the model; None: by words only.
    """

    def __init__(self, passages: Sequence[Chunk], embedding: Callable[[], Embedding] | None) -> None:
        self._passages, self._load = passages, embedding
        self._texts = [passage.text_to_embed for passage in passages]
        self._vocabulary: dict[str, int] = {}
        self._weights = self._bm25(self._texts)

    def find(self, questions: Sequence[str], top_k: int) -> list[list[Chunk]]:
        """For each question the passages that one of the searches finds among its first so many."""
        by_both = zip(self.by_words(questions, top_k), self._by_meaning(questions, top_k), strict=True)
        return [
            list({passage.chunk_id: passage for passage in (*words, *meaning)}.values()) for words, meaning in by_both
        ]

    def by_words(self, questions: Sequence[str], top_k: int) -> list[list[Chunk]]:
        """For each question the first so many passages by BM25, the best first."""
        return self._best(questions, self._scored_by_words, top_k)

    def are_found(self, facts: Sequence[Fact], questions: Sequence[str], top_k: int) -> list[bool]:
        """For each fact whether a search finds it by its question: by words, which are cheap, or else by meaning."""
        found = [is_found(*each) for each in zip(facts, self.by_words(questions, top_k), strict=True)]
        missing = [number for number, is_there in enumerate(found) if not is_there]
        again = self._by_meaning([questions[number] for number in missing], top_k)
        for number, passages in zip(missing, again, strict=True):
            found[number] = is_found(facts[number], passages)
        return found

    def _by_meaning(self, questions: Sequence[str], top_k: int) -> list[list[Chunk]]:
        if self._load is None or not questions or not self._texts:
            return [[] for _ in questions]
        return self._best(questions, lambda some: self._embedding.encode_queries(some) @ self._vectors.T, top_k)

    @cached_property
    def _embedding(self) -> Embedding:
        assert self._load is not None
        return self._load()

    @cached_property
    def _vectors(self) -> Vectors:
        return self._embedding.encode_passages(self._texts)

    def _best(
        self, questions: Sequence[str], scored: Callable[[Sequence[str]], Vectors], top_k: int
    ) -> list[list[Chunk]]:
        found: list[list[Chunk]] = []
        for first in range(0, len(questions), _QUESTIONS_AT_ONCE):
            for scores in scored(questions[first : first + _QUESTIONS_AT_ONCE]):
                best = np.argsort(-scores, kind="stable")[:top_k]
                found.append([self._passages[int(place)] for place in best if scores[place] > 0])
        return found

    def _bm25(self, texts: Sequence[str]) -> sparse.csr_matrix:
        counts = [Counter(_words_of(text)) for text in texts]
        mean = sum(map(Counter.total, counts)) / max(1, len(counts)) or 1.0
        holding = Counter(word for count in counts for word in count)
        self._vocabulary = {word: place for place, word in enumerate(holding)}
        rows, columns, weights = [], [], []
        for row, count in enumerate(counts):
            damping = _K1 * (1 - _B + _B * count.total() / mean)
            for word, times in count.items():
                rarity = np.log(1 + (len(counts) - holding[word] + 0.5) / (holding[word] + 0.5))
                rows.append(row)
                columns.append(self._vocabulary[word])
                weights.append(rarity * times * (_K1 + 1) / (times + damping))
        return sparse.csr_matrix((weights, (rows, columns)), shape=(len(texts), max(1, len(holding))), dtype=np.float32)

    def _scored_by_words(self, questions: Sequence[str]) -> Vectors:
        known = [{self._vocabulary[word] for word in _words_of(q) if word in self._vocabulary} for q in questions]
        rows = [row for row, words in enumerate(known) for _ in words]
        columns = [word for words in known for word in sorted(words)]
        shape = (len(questions), self._weights.shape[1])
        asked = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        scores: Vectors = (asked @ self._weights.T).toarray()
        return scores


def _words_of(text: str) -> list[str]:
    return _WORD.findall(analyzed(text).lower())


def is_found(fact: Fact, found: Sequence[Chunk]) -> bool:
    """Whether a search has found the fact's passage, or another one of its document with the value."""
    return any(passage.source == fact.source and is_correct(passage.text, fact.value) for passage in found)
