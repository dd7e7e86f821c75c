"""How hybrid search of a collection adds dense and sparse scores: the strategies, measured, and the best of them.

In: questions of which the right document is known; where nobody has asked any yet, a model writes them. Out: how well
each strategy finds the documents. It does not know who keeps the answer.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean, stdev

from plait.evaluation.metrics.retrieval import Ranking, measured
from plait.index.search import Mode
from plait.models.generate import Generate
from plait.models.message import Message
from plait.retrieval.pipeline import RetrievalPipeline, SearchedIndex
from plait.retrieval.request import DenseWeight, Retrieval

_QUESTION_TOKENS = 48
_TASK = (
    "Write one short question that somebody asks who needs the following text, in other words than the text's own. "
    "Reply with the question alone."
)
_DEPTH = 10
_MODES: tuple[Mode, ...] = ("bm25", "dense")
_WEIGHTS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 10))
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class KnownQuestion:
    """A question, and the document that answers it."""

    text: str
    source: str


@dataclass(frozen=True)
class SearchQuality:
    """How well a strategy finds the right documents; `rankings`: the documents of ten passages, of each question."""

    strategy: str
    dense_weight: DenseWeight
    rankings: tuple[Ranking, ...]

    @cached_property
    def reciprocal_ranks(self) -> list[float]:
        """Of each question; 0 where the right document was not found."""
        return measured(f"RR@{_DEPTH}", self.rankings)

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank among ten passages, 0 to 1."""
        return fmean(self.reciprocal_ranks)

    def recall(self, k: int) -> float:
        """Share of the questions with the right document among the first k, 0 to 1."""
        return fmean(measured(f"R@{k}", self.rankings))


@dataclass(frozen=True)
class FusionFit:
    """`single`: sparse search alone and dense search alone; `fusions`: reciprocal ranks first, then weights.

    `best`: of the fusions, as `fit_fusion` says.
    """

    single: tuple[SearchQuality, ...]
    fusions: tuple[SearchQuality, ...]
    best: SearchQuality


def fit_fusion(
    pipeline: RetrievalPipeline, index: SearchedIndex, questions: Sequence[KnownQuestion], how: Retrieval
) -> FusionFit:
    """Measure all strategies on at least two questions, by the pipeline that serves.

    `how`: what they have in common: whose documents are searched, and how the hits are reranked.

    Reciprocal ranks stay the best, unless the reciprocal ranks of another strategy are higher with a confidence of 95%,
    corrected for the number of strategies (Bonferroni): what wins by chance on some questions loses on the next.

    Raises what `RetrievalPipeline.retrieve` does.
    """

    async def measured(strategy: str, mode: Mode, dense_weight: DenseWeight = None) -> SearchQuality:
        tried = how.model_copy(update={"top_k": _DEPTH, "mode": mode, "dense_weight": dense_weight})
        found = await pipeline.retrieve(index, [question.text for question in questions], tried)
        rankings = tuple(
            Ranking.of([passage.source for passage in passages], [question.source])
            for question, passages in zip(questions, found, strict=True)
        )
        return SearchQuality(strategy, dense_weight, rankings)

    async def all_measured() -> FusionFit:
        single = [await measured(mode, mode) for mode in _MODES]
        by_ranks = await measured("ranks", "hybrid", "ranks")
        weighted = [await measured(f"dense_weight {weight}", "hybrid", weight) for weight in _WEIGHTS]
        best = max(weighted, key=lambda one: one.mrr)
        best = best if _is_surely_better(best, by_ranks) else by_ranks
        return FusionFit(tuple(single), (by_ranks, *weighted), best)

    return asyncio.run(all_measured())


def _is_surely_better(one: SearchQuality, other: SearchQuality) -> bool:
    """By the normal interval of the paired differences."""
    differences = [a - b for a, b in zip(one.reciprocal_ranks, other.reciprocal_ranks, strict=True)]
    z = NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / 2 / len(_WEIGHTS))
    return fmean(differences) > z * stdev(differences) / math.sqrt(len(differences))


async def write_question(source: str, text: str, model: Generate) -> KnownQuestion | None:
    """A question about a text, if the model writes one; `source`: the name of the text's document.

    A model uses the words of the text more often than people do, which favours sparse search.
    """
    reply = await model.generate([Message("user", f"{_TASK}\n\n{text}")], _QUESTION_TOKENS)
    lines = [line.strip() for line in reply.text.splitlines()]
    question = next((line for line in lines if line.endswith("?")), None)
    return None if question is None else KnownQuestion(question, source)
