"""Confidence sequences: bounds that hold at every sample at once, so that one may look whenever one likes.

In: what two independent streams of samples add up to. Out: how much greater the mean of the first is at least. Of all
the times that one looks, the bound is ever too high with a probability of `alpha` at most. All functions take numbers
or arrays of them, element by element.

- Means of anything with a variance: the asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
  2024, Annals of Statistics, arXiv:2103.06476), in its one-sided form. It is the central limit theorem for all times,
  so it needs a first look that is not too early. The variance is that of the difference in means of an experiment that
  assigns at random.
- Rates of what happens or not: the wealth of a bettor who bets against every rate at once, by the mixture of Krichevsky
  and Trofimov (Robbins 1970, doi:10.1214/aoms/1177696786; Waudby-Smith and Ramdas 2023, arXiv:2010.09686). It holds
  from the first sample on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

Numbers = np.ndarray[Any, np.dtype[np.float64]] | float

_HALVINGS = 40
"""Of the interval that a bound lies in: it is then known to 10^-12."""
_PRIOR = 0.5


@dataclass(frozen=True)
class Moments:
    """What the samples of one stream add up to: how many there are, their sum, and the sum of their squares."""

    count: Numbers
    total: Numbers
    squares: Numbers

    @property
    def mean(self) -> Numbers:
        """NaN where there are no samples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.true_divide(self.total, self.count)

    @property
    def variance_of_mean(self) -> Numbers:
        """Infinite where there are fewer than two samples."""
        count = np.asarray(self.count, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.maximum(self.squares - self.total * np.true_divide(self.total, count), 0.0)
            return np.where(count > 1, spread / ((count - 1) * count), np.inf)


def least_difference_in_means(first: Moments, second: Moments, alpha: float, tight_at: float) -> Numbers:
    """How much greater the mean of the first stream is at least; minus infinity while nothing can be said.

    Args:
        alpha: the probability that the bound is ever too high.
        tight_at: samples of both streams together at which the bound is tightest; fixed before the first one.
    """
    count = np.asarray(first.count, dtype=np.float64) + second.count
    variance = first.variance_of_mean + second.variance_of_mean
    rho_squared = _rho_squared(2 * alpha, tight_at)
    with np.errstate(invalid="ignore", divide="ignore"):
        grown = count * rho_squared + 1
        # `variance` is that of the mean already: sigma squared by the count.
        width = np.sqrt(variance * 2 * grown / (count * rho_squared) * np.log1p(np.sqrt(grown) / (2 * alpha)))
        bound = np.subtract(first.mean, second.mean) - width
    return np.where(np.isfinite(variance), bound, -np.inf)


def least_difference_in_rates(
    first_events: Numbers, first_count: Numbers, second_events: Numbers, second_count: Numbers, alpha: float
) -> Numbers:
    """How much higher the rate of the first stream is at least, in [-1, 1].

    Args:
        alpha: the probability that the bound is ever too high.
    """
    least = least_rate(first_events, first_count, alpha / 2)
    most = 1 - least_rate(np.subtract(second_count, second_events), second_count, alpha / 2)
    return least - most


def least_rate(events: Numbers, count: Numbers, alpha: float) -> Numbers:
    """How high a rate is at least, of which so many of `count` samples are events."""
    events, count = np.broadcast_arrays(np.asarray(events, dtype=np.float64), np.asarray(count, dtype=np.float64))
    against = count - events
    mixture = betaln(_PRIOR + events, _PRIOR + against) - betaln(_PRIOR, _PRIOR)
    low, high = np.zeros(events.shape), np.true_divide(events, np.maximum(count, 1.0))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # What a bettor has made of 1 by bets that are fair if the rate is `middle`.
        log_wealth = mixture - xlogy(events, middle) - xlog1py(against, -middle)
        is_refuted = log_wealth >= -np.log(alpha)
        low, high = np.where(is_refuted, middle, low), np.where(is_refuted, high, middle)
    return low


def _rho_squared(alpha: float, tight_at: float) -> float:
    """The parameter of the mixture with which a bound is tightest at so many samples (arXiv:2103.06476, appendix B)."""
    logarithm = -2 * np.log(alpha)
    return float((logarithm + np.log(logarithm + 1)) / tight_at)
