"""Every two arms at every kind of question and over all: how much better the first is, and whether that may be chance.

In: answers by arm. Out: pairs. Which arm is best is another question for each kind, and each is answered as surely: an
arm is surely not the best at a kind where it is worse than some other by a p-value that is corrected for all its others
(Bonferroni). So the arm that truly is the best is called worse with no more than the significance, whichever it is
(Hsu 1981, Annals of Statistics 9, 1026). That two arms differ takes more: a p-value corrected for all pairs (Holm).

By questions arms are compared as
`plait.evaluation.statistics.comparisons` does it: paired, whole documents at a time. Where an arm was trained with
several seeds, the difference must stand Student's t, too: of the variance by questions, as their interval has it, and
the variance between the seeds (degrees of freedom: Welch 1947, doi:10.1093/biomet/34.1-2.28).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from plait.evaluation.statistics.comparisons import PERMUTATIONS, Pair, difference_interval, equality, holm
from plait.evaluation.statistics.means import Array
from plait.evaluation.statistics.power import SIGNIFICANCE, observed_power
from plait.jobs.compare.accuracy import Answers, Question
from plait.jobs.compare.intervals import (
    CONFIDENCE,
    Bounded,
    Spread,
    documents_of,
    over_kinds,
    over_trainings,
    weights_of,
)
from plait.jobs.compare.training_spread import pair_spread
from plait.jobs.compare.verdict import PairVerdict

_MOST_QUESTIONS = 10_000
"""Who needs more to tell two arms apart may as well take either."""


@dataclass(frozen=True)
class Part:
    """Questions that are judged together, and the answers to them.

    Attributes:
        kind: of the questions; empty for all together.
        answers: of every arm that was asked, to the same questions in the same order.
    """

    kind: str
    answers: Sequence[Answers]

    @property
    def questions(self) -> Sequence[Question]:
        return self.answers[0].questions


@dataclass(frozen=True)
class _Measured:
    """Two arms on one part, before the correction; the worse of them where the p-value is below 1."""

    part: Part
    first: Answers
    second: Answers
    worse: Answers
    interval: tuple[float, float]
    spread: Spread
    p_value: float


def pairs_of(parts: Sequence[Part], significance: float) -> list[PairVerdict]:
    """Every two arms of every part, part by part.

    Args:
        significance: chance of calling any two equal arms of a part different, and of calling its best arm worse.
    """
    return [pair for part in parts for pair in _of_part(part, significance)]


def _of_part(part: Part, significance: float) -> list[PairVerdict]:
    sides = list(combinations(part.answers, 2))
    # Of a hundred pairs the least p-value is compared with a hundredth of the significance; it must be able to be less.
    permutations = max(PERMUTATIONS, math.ceil(4 * len(sides) / significance))
    measured = [_measured(part, first, second, permutations) for first, second in sides]
    level = significance / max(1, len(part.answers) - 1)
    # Arms that differ are not both the best: Holm alone would say so of pairs whose worse arm may be it.
    corrected = [
        max(by_pair, min(1.0, each.p_value * significance / level))
        for each, by_pair in zip(measured, holm([each.p_value for each in measured]), strict=True)
    ]
    return [
        _verdict(each, p_value, p_value < significance, level)
        for each, p_value in zip(measured, corrected, strict=True)
    ]


def _measured(part: Part, first: Answers, second: Answers, permutations: int) -> _Measured:
    against, in_favour = _bounds(first, second)
    kinds = [_by_questions(first.of_kind(kind), second.of_kind(kind)) for kind in first.kinds]
    mean = over_kinds(kinds, part.questions, first.middle.mean(axis=1) - second.middle.mean(axis=1))
    spread = pair_spread(first, second, part.answers)
    weights = weights_of(part.questions)
    weights /= weights.max()
    totals = [float(((one - other) * weights).sum()) for one, other in (against, in_favour)]
    if np.sign(totals[0]) != np.sign(totals[1]):
        p_value = 1.0  # what cannot be said leaves open which is better
    else:
        groups = documents_of(part.questions)
        sides = (against,) if np.array_equal(against, in_favour) else (against, in_favour)
        by_questions = max(equality(one * weights, other * weights, groups, permutations) for one, other in sides)
        p_value = _with_trainings(by_questions, mean, spread)
    worse = second if totals[0] > 0 else first
    return _Measured(part, first, second, worse, over_trainings(mean, spread).within(-1.0), spread, p_value)


def _bounds(first: Answers, second: Answers) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Scores of both arms [questions], where what cannot be said is against the first arm, and where it is for it."""
    against = first.low.mean(axis=1), second.high.mean(axis=1)
    in_favour = first.high.mean(axis=1), second.low.mean(axis=1)
    return against, in_favour


def _by_questions(first: Answers, second: Answers) -> Bounded:
    """The difference over the questions of one kind; the trainings are taken as they are."""
    groups = documents_of(first.questions)
    against, in_favour = _bounds(first, second)
    low, high = (float((one - other).mean()) for one, other in (against, in_favour))
    found = difference_interval(*against, groups, CONFIDENCE)
    most = found[1] if np.array_equal(against, in_favour) else difference_interval(*in_favour, groups, CONFIDENCE)[1]
    return Bounded(low, high, max(0.0, low - found[0]), max(0.0, most - high))


def _with_trainings(p_value: float, mean: Bounded, spread: Spread) -> float:
    """The p-value of a difference that other seeds would change, too; never less than by questions alone."""
    if spread.variance == 0:
        return p_value
    nearer, half = (mean.low, mean.below) if mean.low > 0 else (-mean.high, mean.above)
    by_questions = (half / float(stats.norm.isf((1 - CONFIDENCE) / 2))) ** 2
    variance = by_questions + spread.variance
    degrees = spread.degrees * (variance / spread.variance) ** 2
    return max(p_value, float(2 * stats.t.sf(max(0.0, nearer) / math.sqrt(variance), degrees)))


def _verdict(measured: _Measured, p_value: float, differ: bool, level: float) -> PairVerdict:
    first, second, is_settled = measured.first, measured.second, measured.p_value < level
    return PairVerdict(
        kind=measured.part.kind,
        first=first.arm.name,
        second=second.arm.name,
        value=_seen(first, second),
        low=measured.interval[0],
        high=measured.interval[1],
        p_value=p_value,
        differ=differ,
        not_best=measured.worse.arm.name if is_settled else None,
        needed=None if is_settled else _needed(measured, level),
    )


def _seen(first: Answers, second: Answers) -> float:
    """The difference on the questions that both have a score of, each kind with the same weight; 0 where none has."""
    is_said = first.is_said & second.is_said
    kinds = np.array([question.kind for question in first.questions])
    values = first.middle.mean(axis=1) - second.middle.mean(axis=1)
    means = [float(values[which].mean()) for kind in first.kinds if (which := is_said & (kinds == kind)).any()]
    return float(np.mean(means)) if means else 0.0


def _needed(measured: _Measured, level: float) -> int | None:
    """More questions that would tell which arm is not the best, if they differ as has been seen; None: none would.

    Args:
        level: below which the p-value of this pair alone must be.
    """
    weights = weights_of(measured.part.questions)
    bounds = _bounds(measured.first, measured.second)
    values = [(one * weights, other * weights) for one, other in bounds]
    totals = [float((one - other).mean()) for one, other in values]
    # More questions make neither what cannot be said nor what other seeds would change any less.
    left = min(map(abs, totals)) ** 2 - measured.spread.quantile(level) ** 2 * measured.spread.variance
    if np.sign(totals[0]) != np.sign(totals[1]) or left <= 0:
        return None
    groups = documents_of(measured.part.questions)
    one, other = values[totals.index(min(totals, key=abs))]
    power = observed_power(Pair("", "", "", one.tolist(), other.tolist(), groups), max(1, round(SIGNIFICANCE / level)))
    if power is None:
        return None
    # Documents are drawn whole: with too few of them no test tells anything, however many questions each has.
    asked, drawn = len(weights), len({group or row for row, group in enumerate(groups)}) or len(weights)
    documents = math.ceil(1 + math.log2(1 / level))
    more = max(power.needed(min(1.0, math.sqrt(left))) - asked, math.ceil((documents - drawn) * asked / drawn), 1)
    return more if more <= _MOST_QUESTIONS else None
