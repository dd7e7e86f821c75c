"""What arms cost: before the first answer and with every answer; which arms no other beats; when a dearer one pays.

In: findings, and the accuracy of arms. Out: costs, the front, break-even volumes, and how long a changed fact takes.
Amounts are of the recipe's currency, which it does not name.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean

from plait.jobs.compare.arms import Arm
from plait.jobs.compare.cost_scale import cost_scale
from plait.jobs.compare.findings import Findings
from plait.jobs.compare.verdict import ArmVerdict, BreakEven, Freshness
from plait.jobs.evaluate.costs import ArmCosts, costs_of

_ALIKE = 1.1
"""Within a tenth, answers cost the same: their lengths vary as much from one set of questions to another."""


@dataclass(frozen=True)
class Fixed:
    """What it takes before the first answer.

    Attributes:
        seconds: of training (the mean of its seeds) and indexing; None: not measured.
        cost: of these at the price of an hour; None: it has none, or they were not measured.
    """

    seconds: float | None
    cost: float | None


def answers_cost(findings: Findings, arm: Arm) -> ArmCosts:
    """What an answer of an arm takes, over all its trainings."""
    trials = [judged.trial for run in arm.runs for judged in findings.evaluation.of_arm(run)]
    return costs_of(arm.name, trials)


def fixed(findings: Findings, arm: Arm) -> Fixed:
    """What an arm takes before its first answer; an updated one is trained twice."""
    parts: list[float | None] = []
    if arm.trained:
        parts += [
            _training_seconds(findings, arm.trained, is_updated) for is_updated in (False, True)[: 1 + arm.is_updated]
        ]
    if arm.retrieves:
        parts.append(None if findings.indexing is None else findings.indexing.seconds)
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return Fixed(None, None)
    price = findings.recipe.hour_price
    return Fixed(sum(known), sum(known) / 3600 * price if price else None)


def running_cost(arms: Sequence[ArmVerdict]) -> Callable[[ArmVerdict], float]:
    """By what answers are compared: money where all arms have a price, else tokens, else time, else not at all."""
    scale = cost_scale(arms)
    return lambda arm: 0.0 if scale is None else scale.by_arm[arm.arm]


def cheapest(arms: Sequence[ArmVerdict]) -> ArmVerdict:
    """The arm to take of those that are as good.

    Of those whose answers cost the same within a tenth, it is the first in the order of the arms, which begins with
    those that take the least before their first answer. (By a clock, two comparisons of the same might differ.)
    """
    cost = running_cost(arms)
    least = min(map(cost, arms))
    return next(arm for arm in arms if cost(arm) <= _ALIKE * least)


def front_of(arms: Sequence[ArmVerdict]) -> list[ArmVerdict]:
    """Arms that no other beats in both accuracy and the cost of an answer, the cheapest first."""
    cost = running_cost(arms)
    points = {arm.arm: (cost(arm), -(arm.accuracy.value or 0.0)) for arm in arms}

    def is_beaten(arm: ArmVerdict) -> bool:
        own = points[arm.arm]
        return any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in points.values())

    return sorted((arm for arm in arms if not is_beaten(arm)), key=lambda arm: points[arm.arm])


def break_even_of(front: Sequence[ArmVerdict]) -> list[BreakEven]:
    """Of arms on the front, those that cost more before their first answer and less with each; the soonest first."""
    found = []
    for dearer, cheaper in permutations(front, 2):
        amounts = (dearer.fixed_cost, cheaper.fixed_cost, dearer.cost_of_1000, cheaper.cost_of_1000)
        if None in amounts:
            continue
        before, other_before, each, other_each = (amount or 0.0 for amount in amounts)
        if before > other_before and each < other_each:
            answers = math.ceil(1000 * (before - other_before) / (other_each - each))
            found.append(BreakEven(dearer.arm, cheaper.arm, answers))
    return sorted(found, key=lambda each: each.answers)


def freshness_of(findings: Findings) -> Freshness | None:
    """How long a changed fact takes; None where nothing changed."""
    if findings.update is None:
        return None
    seconds: Mapping[str, float | None] = {
        name: _training_seconds(findings, name, is_updated=True) for name in findings.recipe.tuned
    }
    return Freshness(
        findings.update.documents,
        findings.update.seconds,
        {name: found for name, found in seconds.items() if found is not None},
    )


def _training_seconds(findings: Findings, name: str, is_updated: bool) -> float | None:
    """The mean of its seeds; None where one was not measured."""
    seconds = [
        training.seconds
        for training in findings.trainings
        if training.arm == name and training.is_updated == is_updated
    ]
    known = [second for second in seconds if second is not None]
    return fmean(known) if known and len(known) == len(seconds) else None
