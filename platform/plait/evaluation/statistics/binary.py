"""Right or wrong: how sure a share is, and whether two arms on the same questions really differ.

The questions are independent of each other here; `means` and `comparisons` take those that come in groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Proportion:
    """A share of successes with its confidence interval, all in [0, 1]."""

    successes: int
    trials: int
    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Proportion:
    """A proportion with its score interval (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Unlike the normal approximation it keeps its coverage for few trials and for shares near 0 and 1.

    Raises:
        ValueError: unless 0 <= successes <= trials and trials > 0.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials is no proportion")
    share = successes / trials
    low, high = score_interval(share, trials, NormalDist().inv_cdf(0.5 + confidence / 2))
    return Proportion(successes, trials, share, low, high)


def score_interval(share: float, trials: float, quantile: float) -> tuple[float, float]:
    """The bounds of a share's score interval; `trials` need not be whole, as an effective sample size is not.

    Args:
        quantile: of the normal or of Student's distribution, 1.96 for 95%.
    """
    z = quantile
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    # At 0 and at all successes the bound is exactly the share; rounding could miss it by one ulp.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mcnemar_exact(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided p-value that two arms, right or wrong on the same questions, are equally good.

    The exact test on the questions where they disagree (McNemar 1947, doi:10.1007/BF02295996).

    Raises:
        ValueError: when the arms have not answered the same number of questions.
    """
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    disagreements = only_first + only_second
    tail = sum(math.comb(disagreements, k) for k in range(min(only_first, only_second) + 1)) / (1 << disagreements)
    return min(1.0, 2 * tail)


@dataclass(frozen=True)
class Difference:
    """How much larger the first of two shares is, with its confidence interval, all in [-1, 1]."""

    value: float
    low: float
    high: float


def paired_difference(first: Sequence[bool], second: Sequence[bool], confidence: float = 0.95) -> Difference:
    """How much better the first of two arms is on the same questions.

    The interval is Wald's after adding half a question to each cell of the 2 x 2 table (Agresti & Min 2005,
    doi:10.1002/sim.1781), which keeps its coverage for few questions.

    Raises:
        ValueError: when the arms have not answered the same number of questions, or none.
    """
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    if not first:
        raise ValueError("no questions were answered")
    z, n = NormalDist().inv_cdf(0.5 + confidence / 2), len(first) + 2
    centre = (only_first - only_second) / n
    half = z * math.sqrt(only_first + only_second + 1 - (only_first - only_second) ** 2 / n) / n
    return Difference((only_first - only_second) / len(first), max(-1.0, centre - half), min(1.0, centre + half))
