"""By what answers of arms are compared in cost: money where all have a price, else tokens, else time.

In: arms of a verdict. Out: one number an arm, what it is, and how it is written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from plait.jobs.compare.verdict import ArmVerdict
from plait.jobs.evaluate.costs import as_money


@dataclass(frozen=True)
class CostScale:
    """Costs of arms on one scale.

    Attributes:
        title: what the numbers are.
        by_arm: a number of 0 or more for each arm.
        written: how a number is written.
    """

    title: str
    by_arm: Mapping[str, float]
    written: Callable[[float], str]


def cost_scale(arms: Sequence[ArmVerdict]) -> CostScale | None:
    """The first scale on which every arm has a number; None where there is none."""
    for title, cost, written in _SCALES:
        by_arm = {arm.arm: found for arm in arms if (found := cost(arm)) is not None}
        if len(by_arm) == len(arms):
            return CostScale(title, by_arm, written)
    return None


def tokens_of(arm: ArmVerdict) -> float | None:
    """Read and written for an answer."""
    if arm.prompt_tokens is None or arm.completion_tokens is None:
        return None
    return arm.prompt_tokens + arm.completion_tokens


_SCALES: Sequence[tuple[str, Callable[[ArmVerdict], float | None], Callable[[float], str]]] = (
    ("cost of 1,000 answers", lambda arm: arm.cost_of_1000, as_money),
    ("tokens an answer, read and written", tokens_of, lambda tokens: f"{tokens:,.0f}"),
    ("latency of an answer, median", lambda arm: arm.latency_ms, lambda milliseconds: f"{milliseconds:,.0f} ms"),
)
