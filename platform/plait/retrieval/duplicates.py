"""Duplicates: the same text in several documents, or in chunks that overlap, is one passage."""

from collections.abc import Sequence

from plait.index.passage import Passage

_WORDS = 5  # of a shingle: less is said by chance
_SAME_SHARE = 0.8


def without_duplicates(passages: Sequence[Passage]) -> list[Passage]:
    """The passages without those that repeat a better one.

    A passage repeats another when at least 80% of its runs of five words (shingles, Broder 1997) stand there too.

    Args:
        passages: best first.
    """
    kept: list[Passage] = []
    seen: list[frozenset[tuple[str, ...]]] = []
    for passage in passages:
        shingles = _shingles(passage.text)
        if all(len(shingles & other) < _SAME_SHARE * len(shingles) for other in seen):
            kept.append(passage)
            seen.append(shingles)
    return kept


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = text.casefold().split()
    return frozenset(tuple(words[i : i + _WORDS]) for i in range(max(1, len(words) - _WORDS + 1)))
