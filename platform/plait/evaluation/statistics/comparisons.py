"""Two arms on the same samples, by one metric: how much the first is better, and whether that may be chance.

In: the scores of pairs of arms. Out: a `Comparison` for each, its p-value corrected for all of them. Right-or-wrong
scores of independent samples are compared by the exact McNemar test with the interval of Agresti & Min; all others by
the exact or sampled permutation test that swaps the arms of whole groups (Fisher 1935; scipy), with the interval of
`means`. Both are paired: that a question is hard for both arms says nothing about which is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from plait.evaluation.statistics.binary import mcnemar_exact, paired_difference
from plait.evaluation.statistics.means import Array, group_totals, mean_interval

PERMUTATIONS = 9999
"""The least p-value is then 2 in 10,000, which 250 comparisons may be corrected for."""


@dataclass(frozen=True)
class Pair:
    """Scores of two arms by one metric on the same samples, in the same order; None: it cannot be said.

    Attributes:
        groups: of the samples; samples of one group are not independent. Empty: all are.

    Raises:
        ValueError: when there are no scores, or not as many for both arms.
    """

    metric: str
    first: str
    second: str
    first_scores: Sequence[float | None]
    second_scores: Sequence[float | None]
    groups: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.first_scores or len(self.first_scores) != len(self.second_scores):
            raise ValueError(f"{len(self.first_scores)} and {len(self.second_scores)} scores are no pair of arms")


@dataclass(frozen=True)
class Comparison:
    """How much better the first arm is, in [-1, 1].

    Attributes:
        value: the mean over samples where both scores can be said; None where there are none.
        low, high: bounds for all samples: what cannot be said is taken as against the first arm, then as for it.
        p_value: that the arms are equally good, with what cannot be said taken as it tells the least.
        corrected: the p-value after Holm's correction for all comparisons that were made together.
    """

    metric: str
    first: str
    second: str
    value: float | None
    low: float
    high: float
    p_value: float
    corrected: float
    submitted: int
    unsaid: int


def compare(pairs: Sequence[Pair], confidence: float = 0.95) -> list[Comparison]:
    """Compare all pairs of arms by all metrics, in their order.

    Raises:
        ValueError: for a score outside [0, 1], or groups that are not as many as the scores.
    """
    tests = [_test(pair) for pair in pairs]
    return [
        _comparison(pair, confidence, p_value, corrected)
        for pair, p_value, corrected in zip(pairs, tests, holm(tests), strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several, in their order (Holm 1979, jstor:4615733).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = least
    return corrected


def _comparison(pair: Pair, confidence: float, p_value: float, corrected: float) -> Comparison:
    both = [
        a - b for a, b in zip(pair.first_scores, pair.second_scores, strict=True) if a is not None and b is not None
    ]
    against, in_favour = _filled(pair)
    low, high = difference_interval(*against, pair.groups, confidence)
    if len(both) < len(pair.first_scores):
        high = difference_interval(*in_favour, pair.groups, confidence)[1]
    return Comparison(
        pair.metric,
        pair.first,
        pair.second,
        sum(both) / len(both) if both else None,
        low,
        high,
        p_value,
        corrected,
        len(pair.first_scores),
        len(pair.first_scores) - len(both),
    )


def _filled(pair: Pair) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The scores of both arms with what cannot be said taken as against the first arm, and as for it."""

    def filled(scores: Sequence[float | None], unsaid: float) -> Array:
        return np.array([unsaid if score is None else score for score in scores], dtype=np.float64)

    against = filled(pair.first_scores, 0.0), filled(pair.second_scores, 1.0)
    in_favour = filled(pair.first_scores, 1.0), filled(pair.second_scores, 0.0)
    return against, in_favour


def _test(pair: Pair) -> float:
    """The largest p-value that what cannot be said allows; 1 where it leaves open which arm is better."""
    against, in_favour = _filled(pair)
    if None not in pair.first_scores and None not in pair.second_scores:
        return equality(*against, pair.groups)
    signs = {float(np.sign((first - second).sum())) for first, second in (against, in_favour)}
    if len(signs) > 1:
        return 1.0
    return max(equality(*against, pair.groups), equality(*in_favour, pair.groups))


def equality(first: Array, second: Array, groups: Sequence[str], permutations: int = PERMUTATIONS) -> float:
    """The p-value that two arms are equally good, from their scores [samples] of the same samples.

    Args:
        groups: as of `Pair`.
        permutations: that are drawn where there are more than can be tried; the least p-value is 2 in so many.
    """
    if _is_binary(first, second, groups):
        return mcnemar_exact((first == 1).tolist(), (second == 1).tolist())
    sums, sizes = group_totals(first - second, groups)
    if not sums.any():
        return 1.0
    tested = stats.permutation_test(
        (sums, np.zeros_like(sums)),
        _difference_of_sums,
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=max(1, 2_000_000 // len(sizes)),
        rng=np.random.default_rng(0),
    )
    return float(tested.pvalue)


def _difference_of_sums(first: Array, second: Array, axis: int) -> Any:
    return first.sum(axis=axis) - second.sum(axis=axis)


def difference_interval(
    first: Array, second: Array, groups: Sequence[str], confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of how much better the first arm is, in [-1, 1], from scores [samples] of the same samples."""
    if _is_binary(first, second, groups):
        found = paired_difference((first == 1).tolist(), (second == 1).tolist(), confidence)
        return found.low, found.high
    return mean_interval(list(first - second), groups, confidence, (-1.0, 1.0))


def _is_binary(first: Array, second: Array, groups: Sequence[str]) -> bool:
    """Whether all scores are right or wrong, of samples that are independent of each other."""
    named = [group for group in groups if group]
    return len(set(named)) == len(named) and bool(np.isin((first, second), (0.0, 1.0)).all())
