"""Intervals of a mean by kind, over all kinds, and over trainings with other seeds.

In: the interval of each kind, from `plait.evaluation.statistics`. Out: that of their mean, each kind with the same
weight, since a recipe's shares of kinds are nobody's traffic; and that which another training might land in.

Intervals are put together by the method of variance estimates recovery (Zou & Donner 2008, doi:10.1002/sim.3095): the
squares of their half widths add up, on either side by itself. Kinds that share documents are correlated; what of it is
seen is added, and never taken off.

What trainings with other seeds change is the variance of the seeds' means, with Student's t for its degrees of freedom:
questions and seeds are crossed, as cases and readers are in radiology (Obuchowski & Rockette 1995,
doi:10.1080/03610919508813243). The chance of single answers is in both parts, so that the interval is rather too wide
than too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from plait.evaluation.statistics.means import Array, group_totals
from plait.jobs.compare.accuracy import Question

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Bounded:
    """A mean and how sure it is.

    Attributes:
        low, high: the mean, where what cannot be said is taken as against it and as for it.
        below, above: how far the interval reaches beyond these.
    """

    low: float
    high: float
    below: float
    above: float

    def within(self, least: float, most: float = 1.0) -> tuple[float, float]:
        """The bounds of the interval."""
        return max(least, self.low - self.below), min(most, self.high + self.above)


@dataclass(frozen=True)
class Spread:
    """How far trainings with other seeds lie apart.

    Attributes:
        variance: of the mean of the seeds that were trained; 0 where nothing was trained, or once only.
        degrees: of freedom, with which it is known.
    """

    variance: float = 0.0
    degrees: int = 1

    @property
    def half_width(self) -> float:
        """Of the interval that it makes alone."""
        return self.quantile(1 - CONFIDENCE) * math.sqrt(self.variance)

    def quantile(self, significance: float) -> float:
        """Student's, two-sided."""
        return float(stats.t.isf(significance / 2, self.degrees))


def over_kinds(kinds: Sequence[Bounded], questions: Sequence[Question], values: Array) -> Bounded:
    """The mean of the kinds' means.

    Args:
        kinds: in the order in which the questions have them.
        values: float64 [questions], whose correlation over kinds is looked for.
    """
    below, above = np.array([kind.below for kind in kinds]), np.array([kind.above for kind in kinds])
    shared = _correlation(questions, values)
    return Bounded(
        low=float(np.mean([kind.low for kind in kinds])),
        high=float(np.mean([kind.high for kind in kinds])),
        below=math.sqrt(max(below @ below, below @ shared @ below)) / len(kinds),
        above=math.sqrt(max(above @ above, above @ shared @ above)) / len(kinds),
    )


def over_trainings(mean: Bounded, spread: Spread) -> Bounded:
    """The same with what other seeds would change."""
    half = spread.half_width
    return Bounded(mean.low, mean.high, math.hypot(mean.below, half), math.hypot(mean.above, half))


def weights_of(questions: Sequence[Question]) -> Array:
    """Of each question, so that every kind counts alike, and the mean weight is 1."""
    kinds = [question.kind for question in questions]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return np.array([len(kinds) / len(counts) / counts[kind] for kind in kinds])


def documents_of(questions: Sequence[Question]) -> list[str]:
    """The groups of questions.

    Of one group alone there is no other to tell how far groups are apart: its questions are all that is asked about,
    and count as independent.
    """
    groups = [question.group for question in questions]
    return [] if len(set(groups)) == 1 else groups


def _correlation(questions: Sequence[Question], values: Array) -> Array:
    """Of the kinds' means, because of documents that several kinds ask about: float64 [kinds, kinds]."""
    kinds = list(dict.fromkeys(question.kind for question in questions))
    groups = documents_of(questions)
    columns = []
    for kind in kinds:
        is_of_kind = np.array([question.kind == kind for question in questions])
        residuals = np.where(is_of_kind, values - values[is_of_kind].mean(), 0.0)
        columns.append(group_totals(residuals, groups)[0])
    covariance = np.array(columns) @ np.array(columns).T
    deviations = np.sqrt(np.diag(covariance))
    deviations[deviations == 0] = 1.0
    correlation = covariance / np.outer(deviations, deviations)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)
