"""How well verdicts agree with the truth, beyond what chance does.

A judge that always says yes is right as often as the truth is yes: its raw agreement may be 90%, its kappa is 0. The
interval of a figure that is made of sensitivity and specificity is theirs, put together by the method of variance
estimates recovery (Zou & Donner 2008, doi:10.1002/sim.3095), as if the two were independent. It has a width where a
judge errs never or always; a bootstrap then has none.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plait.evaluation.statistics.figure import Figure, figure


@dataclass(frozen=True)
class Estimate:
    """A number between -1 and 1 with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Verdicts beside truths, of which some are true and some are not.

    Attributes:
        sensitivity: share of what is true that the judge says is true; a verdict that cannot be read is wrong.
        specificity: share of what is not true that it says is not.
        kappa: chance-corrected agreement (Cohen 1960, doi:10.1177/001316446002000104): 1 is perfect, 0 is chance.
        youden: sensitivity + specificity - 1 (Youden 1950), which does not depend on how much is true.
        raw: share of verdicts that are right, for what it is worth.
    """

    sensitivity: Figure
    specificity: Figure
    kappa: Estimate
    youden: Estimate
    raw: float

    @property
    def is_useless(self) -> bool:
        """Whether the verdicts cannot be told from chance: the interval of kappa reaches 0."""
        return self.kappa.low <= 0


def agreement(
    truths: Sequence[bool], verdicts: Sequence[bool | None], groups: Sequence[str] = (), confidence: float = 0.95
) -> Agreement | None:
    """How well verdicts agree with truths; None where all or none is true, since chance cannot be told then.

    Args:
        groups: of each, as of `figure`: verdicts of one question are not independent.
    """
    names = groups or [""] * len(truths)
    marks = [
        (truth, verdict is truth, verdict is None, group)
        for truth, verdict, group in zip(truths, verdicts, names, strict=True)
    ]
    true, untrue = [mark for mark in marks if mark[0]], [mark for mark in marks if not mark[0]]
    if not true or not untrue:
        return None
    sensitivity, specificity = _share_right(true, confidence), _share_right(untrue, confidence)
    prevalence = len(true) / len(marks)
    return Agreement(
        sensitivity,
        specificity,
        _combined(lambda first, second: _kappa(first, second, prevalence), sensitivity, specificity),
        _combined(lambda first, second: first + second - 1, sensitivity, specificity),
        sum(mark[1] for mark in marks) / len(marks),
    )


def _share_right(marks: Sequence[tuple[bool, bool, bool, str]], confidence: float) -> Figure:
    found = figure([float(is_right) for _, is_right, _, _ in marks], [mark[3] for mark in marks], confidence)
    return replace(found, unsaid=sum(is_unsaid for _, _, is_unsaid, _ in marks))


def _kappa(sensitivity: float, specificity: float, prevalence: float) -> float:
    said = prevalence * sensitivity + (1 - prevalence) * (1 - specificity)
    observed = prevalence * sensitivity + (1 - prevalence) * specificity
    by_chance = prevalence * said + (1 - prevalence) * (1 - said)
    return (observed - by_chance) / (1 - by_chance)  # what is true is some, not all: chance is never 1


def _combined(of: Callable[[float, float], float], first: Figure, second: Figure) -> Estimate:
    """A function that grows in both of two shares, with its interval."""
    one, other = first.value or 0.0, second.value or 0.0
    value = of(one, other)
    below = math.hypot(value - of(first.low, other), value - of(one, second.low))
    above = math.hypot(value - of(first.high, other), value - of(one, second.high))
    return Estimate(value, max(-1.0, value - below), min(1.0, value + above))
