"""What some questions can tell: how far two arms must be apart to be called different, and how many would tell less.

Before a run the share of questions that two arms answer differently is assumed; after it, it is what was seen. The size
of a paired test of right-or-wrong answers is Miettinen's (1968, doi:10.2307/2528456), which holds for numbers when
their mean squared difference takes the place of that share, with the correction for an exact test (Fleiss, Levin & Paik
2003, Statistical Methods for Rates and Proportions, 13.1).
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from scipy import optimize

from plait.evaluation.statistics.comparisons import Pair
from plait.evaluation.statistics.means import group_totals

SIGNIFICANCE = 0.05
POWER = 0.8
ASSUMED_DISCORDANCE = 0.25
"""A quarter of the questions is answered differently: as two arms that are right on 85% independently of each other."""

_MOST_QUESTIONS = 1_000_000
_EXACT = 1e-6
"""How far a root may be above a whole number of points that it is."""


@dataclass(frozen=True)
class Power:
    """What a comparison of two arms on some questions can tell, with a chance of 80%, at a significance of 5%.

    Attributes:
        questions: on which both arms are compared.
        discordance: mean squared difference of two scores of a question; of right or wrong the share that differs.
        design_effect: how many times more questions it takes because some come from one document; 1 for none.
        comparisons: how many are corrected together, by Holm, of which the first is judged as Bonferroni would.
        is_observed: whether discordance and design effect were seen, not assumed.
    """

    questions: int
    discordance: float
    design_effect: float = 1.0
    comparisons: int = 1
    is_observed: bool = False

    def needed(self, difference: float) -> int:
        """How many questions tell arms apart that differ so much.

        Raises:
            ValueError: unless the difference is above 0 and at most 1.
        """
        if not 0 < difference <= 1:
            raise ValueError(f"a difference is above 0 and at most 1, not {difference}")
        return min(_MOST_QUESTIONS, math.ceil(self._size(difference)))

    @property
    def detectable(self) -> float | None:
        """The least difference that the questions tell; None: they are too few to tell right from wrong."""
        if self._size(1.0) > self.questions:
            return None
        return float(optimize.brentq(lambda difference: self._size(difference) - self.questions, 1e-5, 1.0))

    @property
    def sentence(self) -> str:
        """As in "These 32 questions can tell 21 points; 340 would tell 5."; then what being one of several costs."""
        alone = replace(self, comparisons=1)
        points = alone._points
        if points is None:
            return f"These {self.questions} questions tell nothing; {alone.needed(0.05)} would tell 5 points."
        assumed = "" if self.is_observed else f" if two arms differ on {self.discordance:.0%} of them"
        aim = next((aim for aim in (5, 2, 1) if aim < points), None)
        more = f"; {alone.needed(aim / 100)} would tell {aim}" if aim is not None else ""
        return f"These {self.questions} questions can tell {points} points{assumed}{more}.{self._as_one_of_several}"

    @property
    def _as_one_of_several(self) -> str:
        if self.comparisons == 1:
            return ""
        points = self._points
        told = "nothing" if points is None else f"{points} points"
        return f" As one of {self.comparisons} comparisons (Holm) at worst {told}."

    @property
    def _points(self) -> int | None:
        least = self.detectable
        return None if least is None else math.ceil(100 * least - _EXACT)

    def _size(self, difference: float) -> float:
        """Questions for a difference. Two arms differ on at least as many questions as one is better on."""
        spread = max(self.discordance, difference)
        quantile = NormalDist().inv_cdf(1 - SIGNIFICANCE / self.comparisons / 2)
        alternative = math.sqrt(spread - difference**2)
        size = (quantile * math.sqrt(spread) + NormalDist().inv_cdf(POWER) * alternative) ** 2 / difference**2
        return (size + 1 / difference) * self.design_effect


def observed_power(pair: Pair, comparisons: int = 1) -> Power | None:
    """What the questions of a run can tell of such arms; None: no question has a score of both.

    Half a question is counted on each side, as Agresti & Min (2005) do, so that arms that never differed on few
    questions are not said to be alike.
    """
    groups = pair.groups or [""] * len(pair.first_scores)
    both = [
        (first - second, group)
        for first, second, group in zip(pair.first_scores, pair.second_scores, groups, strict=True)
        if first is not None and second is not None
    ]
    if not both:
        return None
    differences = np.array([difference for difference, _ in both])
    totals, sizes = group_totals(differences, [group for _, group in both])
    count, size, variance = len(sizes), len(both), float(differences.var())
    effect = 1.0
    if 1 < count < size and variance > 0:
        between = count / (count - 1) * float(((totals - differences.mean() * sizes) ** 2).sum()) / size**2
        effect = max(1.0, between / (variance / size))
    discordance = (float((differences**2).sum()) + 1) / (size + 2)
    return Power(size, discordance, effect, comparisons, is_observed=True)
