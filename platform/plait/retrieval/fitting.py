"""Fitting hybrid search to a collection: which way of adding its two sides finds the right document first.

In: questions of which the right document is known. Out: how well each way finds it, and the best one. It knows neither
where questions come from nor who keeps the answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from plait.retrieval.request import DenseWeight, Retrieval
from plait.retrieval.retriever import Retriever

_DEPTH = 10
_WEIGHTS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 10))
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class KnownQuestion:
    """A question, and the document that answers it."""

    text: str
    source: str


@dataclass(frozen=True)
class Measured:
    """How well a way of searching finds the right documents. `ranks`: of the first right passage of each question
    among ten, 0 where there is none."""

    way: str
    dense_weight: DenseWeight
    ranks: tuple[int, ...]

    @property
    def reciprocal_ranks(self) -> list[float]:
        """Of each question; 0 where nothing right was found."""
        return [1 / rank if rank else 0.0 for rank in self.ranks]

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank among ten passages, 0 to 1."""
        return fmean(self.reciprocal_ranks)

    def recall(self, k: int) -> float:
        """Share of the questions with a right passage among the first k, 0 to 1."""
        return sum(0 < rank <= k for rank in self.ranks) / len(self.ranks)


@dataclass(frozen=True)
class Fit:
    """`sides`: each side alone; `fusions`: reciprocal ranks first, then weights; `best`: of the fusions, see `fit`."""

    sides: tuple[Measured, ...]
    fusions: tuple[Measured, ...]
    best: Measured


def fit(retriever: Retriever, questions: Sequence[KnownQuestion], tenant: str) -> Fit:
    """Measure all ways of fusing on at least two questions.

    Reciprocal ranks stay, unless another way's reciprocal ranks are higher with a confidence of 95%, corrected for the
    number of ways that were tried (Bonferroni): what wins by chance on some questions loses on the next.
    """

    def measured(way: str, how: Retrieval) -> Measured:
        found = retriever.retrieve([question.text for question in questions], how)
        ranks = tuple(
            next((rank for rank, passage in enumerate(passages, start=1) if passage.source == question.source), 0)
            for question, passages in zip(questions, found, strict=True)
        )
        return Measured(way, how.dense_weight, ranks)

    sides = tuple(measured(mode, Retrieval(top_k=_DEPTH, mode=mode, tenant=tenant)) for mode in ("bm25", "dense"))
    by_ranks = measured("ranks", Retrieval(top_k=_DEPTH, dense_weight="ranks", tenant=tenant))
    weighted = [
        measured(f"dense_weight {weight}", Retrieval(top_k=_DEPTH, dense_weight=weight, tenant=tenant))
        for weight in _WEIGHTS
    ]
    best = max(weighted, key=lambda one: one.mrr)
    return Fit(sides, (by_ranks, *weighted), best if _is_surely_better(best, by_ranks) else by_ranks)


def _is_surely_better(one: Measured, other: Measured) -> bool:
    """By the normal interval of the paired differences."""
    differences = [a - b for a, b in zip(one.reciprocal_ranks, other.reciprocal_ranks, strict=True)]
    z = NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / 2 / len(_WEIGHTS))
    return fmean(differences) > z * stdev(differences) / math.sqrt(len(differences))
