"""What an evaluation of several arms lets one say, and no more.

In: an `EvaluationReport`. Out: a `Verdict`: accuracy, latency and tokens of every arm, every pair with the interval of
its difference, and which arms may be best. Arms that the questions cannot tell apart are a tie, and of those the
cheapest is recommended. It chooses; it routes nothing.
"""

from itertools import combinations

from pydantic import BaseModel, ConfigDict

from plait.evaluation.statistics.binary import Difference, Proportion, mcnemar_exact, paired_difference, wilson
from plait.evaluation.statistics.comparisons import holm
from plait.jobs.evaluate.costs import costs_of
from plait.jobs.evaluate.report import EvaluationReport


class Arm(BaseModel):
    """One way to answer. Tokens are means an answer, passages included. None: the server did not say."""

    model_config = ConfigDict(frozen=True)

    model: str
    accuracy: Proportion
    median_latency_ms: float | None
    prompt_tokens: float | None
    completion_tokens: float | None

    @property
    def tokens(self) -> float | None:
        """Read and written for an answer."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens


class Pair(BaseModel):
    """Two arms on the same questions: how much better the first is, and the exact McNemar test, Holm-corrected."""

    model_config = ConfigDict(frozen=True)

    first: str
    second: str
    difference: Difference
    p_value: float
    differ: bool


class Verdict(BaseModel):
    """What was found.

    Attributes:
        best: the arms that may be best: the one with the most right answers, and all not surely worse than it.
        recommended: of those the one that costs the fewest tokens, then the least time.
    """

    model_config = ConfigDict(frozen=True)

    questions: int
    significance: float
    arms: list[Arm]
    pairs: list[Pair]
    best: list[str]
    recommended: str

    def arm(self, model: str) -> Arm:
        return next(arm for arm in self.arms if arm.model == model)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        recommended = self.arm(self.recommended)
        if len(self.best) == 1:
            return f"{self.recommended} is best: {recommended.accuracy.value:.0%} right, surely more than every other."
        others = ", ".join(self.best)
        by = "the fewest tokens" if recommended.tokens is not None else "the least time"
        return (
            f"A tie: {self.questions} questions cannot tell which of {others} is best. "
            f"{self.recommended} is recommended, because of these it takes {by}."
        )


def verdict_of(report: EvaluationReport, significance: float) -> Verdict:
    """Compare every pair of arms.

    Args:
        significance: chance of calling any two equal arms different, over all pairs.
    """
    arms = [_arm(report, arm) for arm in report.arms]
    right = {arm: report.right(arm) for arm in report.arms}
    names = list(combinations(report.arms, 2))
    corrected = holm([mcnemar_exact(right[first], right[second]) for first, second in names])
    pairs = [
        Pair(
            first=first,
            second=second,
            difference=paired_difference(right[first], right[second]),
            p_value=p_value,
            differ=p_value < significance,
        )
        for (first, second), p_value in zip(names, corrected, strict=True)
    ]
    leader = max(arms, key=lambda arm: arm.accuracy.successes).model
    worse = {name for pair in pairs if pair.differ and leader in (pair.first, pair.second) for name in _both(pair)}
    best = [arm for arm in arms if arm.model == leader or arm.model not in worse]
    return Verdict(
        questions=len(right[leader]),
        significance=significance,
        arms=arms,
        pairs=pairs,
        best=[arm.model for arm in best],
        recommended=min(best, key=_cost).model,
    )


def _both(pair: Pair) -> tuple[str, str]:
    return pair.first, pair.second


def _cost(arm: Arm) -> tuple[float, float]:
    # Servers that count no tokens count none for any arm: then time decides.
    return (arm.tokens or 0.0, arm.median_latency_ms or 0.0)


def _arm(report: EvaluationReport, arm: str) -> Arm:
    costs = costs_of(arm, [judged.trial for judged in report.of_arm(arm)])
    right = report.right(arm)
    return Arm(
        model=arm,
        accuracy=wilson(sum(right), len(right)),
        median_latency_ms=costs.latency_ms,
        prompt_tokens=costs.prompt_tokens,
        completion_tokens=costs.completion_tokens,
    )
