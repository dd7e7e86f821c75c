"""From what was found to what is given: the same steps in serving and in jobs.

In: hits, best first, and how to retrieve. Out: passages. It asks no server and no model.
"""

from collections.abc import Sequence
from dataclasses import replace

from plait.documents.chunk import text_to_embed
from plait.index.passage import Passage
from plait.index.search import Hit
from plait.retrieval.diversity import diversified
from plait.retrieval.duplicates import without_duplicates
from plait.retrieval.request import Retrieval
from plait.retrieval.source_cap import capped_by_source


def text_to_rank(hit: Hit) -> str:
    """What a reranker reads: what the chunk was embedded as."""
    return text_to_embed(hit.passage.title, hit.passage.heading, hit.passage.text)


def reranked(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    """The hits in the order of a reranker's scores, which become theirs; equal ones stay in order."""
    order = sorted(range(len(hits)), key=lambda i: -scores[i])
    return [replace(hits[i], passage=replace(hits[i].passage, score=scores[i])) for i in order]


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
