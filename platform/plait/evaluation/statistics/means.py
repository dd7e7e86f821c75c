"""The interval of a mean of numbers between two bounds, where some of them may come from one group.

Questions about one document are not independent: a document that is badly read spoils all of its questions. So whole
groups are what is drawn again and what is counted. Which method is used depends on the numbers:

- All at a bound (right or wrong): Wilson's score interval. Where they come in groups it is taken with the effective
  sample size, which is the size divided by the design effect (Kish 1965), and with Student's quantile for the number of
  groups (Korn & Graubard 1998). A bootstrap of groups has no width when all answers are right, and is too narrow for
  few groups; of seven intervals with an effective sample size, Wilson's is recommended (Franco et al. 2019,
  doi:10.1093/jssam/smy019).
- All the same, between the bounds: at most a share q of the population differs from what has been seen in all of n
  groups, where (1 - q)^n is the error that is allowed, and those may lie at a bound.
- Fewer than 15 groups: Wilson's interval of the mean, since no distribution between two bounds varies more than the one
  that has all its mass on them. A bootstrap of so few is too narrow.
- Else: the bias-corrected and accelerated bootstrap (Efron 1987, doi:10.1080/01621459.1987.10478410), by scipy, its
  level raised by as much as a bootstrap of so few is too narrow (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy import stats

from plait.evaluation.statistics.binary import score_interval

RESAMPLES = 4999
"""Of a bootstrap: bounds at 95% then move by a fiftieth of the interval's width from seed to seed."""

_FEWEST_GROUPS = 15
_SAME = 1e-9
"""Numbers that are no further apart are the same: differences of equal scores are not quite."""
_NUMBERS_AT_ONCE = 2_000_000
"""How many numbers a bootstrap holds at a time: 16 MB."""

Array = np.ndarray[Any, np.dtype[np.float64]]


def group_totals(values: Sequence[float] | Array, groups: Sequence[str]) -> tuple[Array, Array]:
    """Sum and size of every group, in the order in which the groups first come.

    Args:
        groups: the group of each value; an empty name is a group of its own, and so is each value where there are none.

    Raises:
        ValueError: when there are groups, but not one for each value.
    """
    data = np.asarray(values, dtype=np.float64)
    if not groups or not any(groups):
        return data, np.ones(len(data))
    numbers: dict[object, int] = {}
    index = [
        numbers.setdefault(group or position, len(numbers))
        for position, (group, _) in enumerate(zip(groups, data, strict=True))
    ]
    return np.bincount(index, weights=data).astype(np.float64), np.bincount(index).astype(np.float64)


def mean_interval(
    values: Sequence[float],
    groups: Sequence[str] = (),
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float]:
    """The confidence interval of a population's mean, of which `values` are seen. The same values, the same interval.

    Args:
        groups: as of `group_totals`.
        bounds: between which every value lies.

    Raises:
        ValueError: for no values, or one outside the bounds.
    """
    data = np.asarray(values, dtype=np.float64)
    lower, upper = bounds
    if not len(data) or not ((data >= lower) & (data <= upper)).all():  # also NaN
        raise ValueError(f"an interval needs numbers between {lower} and {upper}")
    totals, sizes = group_totals(data, groups)
    mean = float(data.mean())
    if np.isin(data, bounds).all():
        effective, quantile = _effective_size(totals, sizes, bounds, confidence)
        low, high = score_interval((mean - lower) / (upper - lower), effective, quantile)
    elif np.ptp(data) < _SAME:
        unseen = 1 - (0.5 - confidence / 2) ** (1 / len(sizes))
        return mean - unseen * (mean - lower), mean + unseen * (upper - mean)
    else:
        drawn = _bootstrap(totals, sizes, confidence) if len(sizes) >= _FEWEST_GROUPS else None
        if drawn is not None:
            return min(mean, drawn[0]), max(mean, drawn[1])
        quantile = NormalDist().inv_cdf(0.5 + confidence / 2)
        low, high = score_interval((mean - lower) / (upper - lower), len(sizes), quantile)
    return lower + low * (upper - lower), lower + high * (upper - lower)


def _design_effect(totals: Array, sizes: Array) -> float:
    """How many times the variance of the mean of independent values a mean over groups has, at least 1 (Kish 1965).

    Where it cannot be seen, for one group or values of no variance between groups, it is the one of values that are
    the same within every group.
    """
    count, size = len(sizes), float(sizes.sum())
    worst = size / count
    share = float(totals.sum()) / size
    if count == size:
        return 1.0
    if count == 1 or not 0 < share < 1:
        return worst
    between = count / (count - 1) * float(((totals - share * sizes) ** 2).sum()) / size**2
    return max(1.0, between / (share * (1 - share) / size))


def _effective_size(totals: Array, sizes: Array, bounds: tuple[float, float], confidence: float) -> tuple[float, float]:
    """Of values at the bounds: the effective sample size, and the quantile that goes with it."""
    lower, upper = bounds
    count, size = len(sizes), float(sizes.sum())
    if count == size:
        return size, NormalDist().inv_cdf(0.5 + confidence / 2)
    effect = _design_effect((totals - lower * sizes) / (upper - lower), sizes)
    degrees = max(1, count - 1)
    return size / effect, float(stats.t.ppf(0.5 + confidence / 2, degrees))


def _bootstrap(totals: Array, sizes: Array, confidence: float) -> tuple[float, float] | None:
    """The BCa interval of the mean over groups; None where resamples say nothing, as of values nearly all the same."""

    def mean(total: Array, size: Array, axis: int) -> Array:
        return np.asarray(total.sum(axis=axis) / size.sum(axis=axis))

    found = stats.bootstrap(
        (totals, sizes),
        mean,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _NUMBERS_AT_ONCE // len(totals)),
        confidence_level=_expanded(confidence, len(totals)),
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if np.isfinite((low, high)).all() else None


def _expanded(confidence: float, count: int) -> float:
    """The level at which the bootstrap of so many is as wide as Student's interval is, where values are normal."""
    quantile = math.sqrt(count / (count - 1)) * float(stats.t.ppf(0.5 + confidence / 2, count - 1))
    return 1 - 2 * NormalDist().cdf(-quantile)
