"""From what was found to what is given: reranked, each text once, diverse, and not all from one document.

In: hits, best first, and how to retrieve. Out: passages. It asks no server and no model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from plait.documents.chunk import text_to_embed
from plait.index.passage import Passage
from plait.index.search import Hit
from plait.models.vectors import Vectors
from plait.retrieval.request import Retrieval

_WORDS = 5  # of a shingle: less is said by chance
_SAME_SHARE = 0.8


def text_to_rank(hit: Hit) -> str:
    """What a reranker reads: what the chunk was embedded as."""
    return text_to_embed(hit.passage.title, hit.passage.heading, hit.passage.text)


def reranked(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    """The hits in the order of a reranker's scores, which become theirs; equal ones stay in order."""
    order = sorted(range(len(hits)), key=lambda i: -scores[i])
    return [replace(hits[i], passage=replace(hits[i].passage, score=scores[i])) for i in order]


def merged(found: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The hits for one question from several collections as one list, by score; the order of each collection stays.

    A hit counts as the best score from its place on in its own collection: a hybrid search orders by words too, and
    what it puts first may have a lower cosine than what follows.
    """
    ranked: list[tuple[float, Hit]] = []
    for hits in found:
        best_from_here = list(accumulate((hit.passage.score for hit in reversed(hits)), max))
        ranked += zip(reversed(best_from_here), hits, strict=True)
    return [hit for _, hit in sorted(ranked, key=lambda pair: -pair[0])]


def selected(hits: Sequence[Hit], how: Retrieval) -> list[Passage]:
    """The passages to give: those that score enough, each text once, diverse and from several sources if so wished."""
    passages = [h.passage for h in hits if how.min_score is None or h.passage.score >= how.min_score]
    passages = without_duplicates(passages)
    if how.mmr is not None:
        vectors = {hit.passage.chunk_id: hit.vector for hit in hits if hit.vector is not None}
        passages = diversified(passages, vectors, how.mmr)
    if how.max_per_source is not None:
        passages = capped_by_source(passages, how.max_per_source)
    return passages[: how.top_k]


def best_of(found: Sequence[Sequence[Passage]], most: int) -> list[Passage]:
    """The best passages for several questions: each once, by its best score. For one question its order stays."""
    if len(found) == 1:
        return list(found[0][:most])
    best: dict[str, Passage] = {}
    for passage in (passage for of_question in found for passage in of_question):
        if passage.chunk_id not in best or passage.score > best[passage.chunk_id].score:
            best[passage.chunk_id] = passage
    return without_duplicates(sorted(best.values(), key=lambda passage: -passage.score))[:most]


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


def diversified(passages: Sequence[Passage], vectors: Mapping[str, Vectors], relevance_share: float) -> list[Passage]:
    """The passages by maximal marginal relevance (Carbonell and Goldstein 1998).

    One by one the passage is taken that is relevant and unlike those that were taken before. Its relevance is its place
    in the order given, 1 for the first to 0 for the last: scores of different rankers have different scales.

    Args:
        passages: best first.
        vectors: of their chunks, by `chunk_id`; unit length.
        relevance_share: 1 leaves the order as it is, 0 looks only at how unlike the passages are, 0.7 is usual.
    """
    if not passages:
        return []
    stacked = np.stack([vectors[passage.chunk_id] for passage in passages])
    likeness = stacked @ stacked.T
    gain = relevance_share * np.linspace(1, 0, len(passages))
    nearest = np.zeros(len(passages))  # likeness to the nearest that is taken
    taken: list[int] = []
    while len(taken) < len(passages):
        marginal = gain - (1 - relevance_share) * nearest
        marginal[taken] = -np.inf
        best = int(np.argmax(marginal))
        nearest = likeness[best] if not taken else np.maximum(nearest, likeness[best])
        taken.append(best)
    return [passages[i] for i in taken]


def capped_by_source(passages: Sequence[Passage], most: int) -> list[Passage]:
    """The first `most` passages of every source, in the order given."""
    taken: Counter[str] = Counter()
    kept = []
    for passage in passages:
        taken[passage.source] += 1
        if taken[passage.source] <= most:
            kept.append(passage)
    return kept
