"""What plots show: how the scores of an arm are distributed, and how a judge's scores agree with people's labels.

In: a report. Out: counts and points; the templates draw them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plait.evaluation.statistics.figure import Figure, figure
from plait.jobs.evaluate.report import EvaluationReport

_BARS = 10
_BINS = 6
"""Two for each stratum that labels are drawn from: within one, all samples were equally likely to be labelled."""


@dataclass(frozen=True)
class Distribution:
    """How many samples score how much.

    Attributes:
        counts: of ten ranges from 0 to 1, the last of which has 1 in it.
        unsaid: samples whose score cannot be said.
    """

    counts: Sequence[int]
    unsaid: int

    @property
    def most(self) -> int:
        """The highest bar."""
        return max(*self.counts, self.unsaid)


@dataclass(frozen=True)
class ReliabilityPoint:
    """Labelled samples that the judge scores alike.

    Attributes:
        score: the mean of the judge's scores.
        labels: the mean of people's labels, with its interval.
    """

    score: float
    labels: Figure


def distribution(report: EvaluationReport, metric: str, arm: str) -> Distribution | None:
    """How the scores of an arm are distributed; None where the metric applies to none of its samples."""
    values = [judged.scores[metric].value for judged in report.measured(metric, arm)]
    if not values:
        return None
    counts = [0] * _BARS
    for value in values:
        if value is not None:
            counts[_bin(value, _BARS)] += 1
    return Distribution(counts, sum(value is None for value in values))


def reliability(report: EvaluationReport, metric: str) -> list[ReliabilityPoint] | None:
    """The judge's scores beside people's labels, over all arms (a reliability diagram, DeGroot & Fienberg 1983,
    doi:10.2307/2987588); None where people have labelled none that the judge could score."""
    given = report.worth.labels.get(metric)
    if given is None:
        return None
    by_bin: dict[int, list[tuple[float, float, str]]] = {}
    for judged in (judged for arm in report.arms for judged in report.measured(metric, arm)):
        score, label = judged.scores[metric].value, given.labels.get(judged.trial.key)
        if score is not None and label is not None:
            by_bin.setdefault(_bin(score, _BINS), []).append((score, label, judged.trial.sample.group))
    return [_point(by_bin[number]) for number in sorted(by_bin)] or None


def _point(labelled: Sequence[tuple[float, float, str]]) -> ReliabilityPoint:
    scores, labels, groups = zip(*labelled, strict=True)
    return ReliabilityPoint(sum(scores) / len(scores), figure(labels, groups))


def _bin(value: float, bins: int) -> int:
    return min(bins - 1, int(value * bins))
