"""What a policy is worth against simpler ways to choose, and whether it may be used.

In: outcomes, and what the policy chose for questions that it had not learned from. Out: figures with paired intervals
of 95% over groups, and a decision. The names of the gains are LLMRouterBench's (Li et al. 2026, arXiv:2601.07206):

- Gain@Best: accuracy of the policy / that of the best single arm - 1.
- Gap@Oracle: 1 - accuracy of the policy / that of the oracle, which takes the cheapest of the right answers, and the
  cheapest of all where none is right.
- CostSave: 1 - tokens of the policy / those of the best single arm. Theirs is at equal accuracy; here it stands beside
  the difference in accuracy.

There they are means over data sets; here each question counts the same.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from pydantic import Field

from plait.evaluation.statistics.comparisons import difference_interval
from plait.evaluation.statistics.means import Array, mean_interval
from plait.routing.learning import Choices, best_arm
from plait.routing.outcomes import Outcomes, Rows
from plait.routing.trade import best_first
from plait.section import Section

NO_WORSE = 0.02
"""Two points of accuracy: what may be lost at the most, with 95% confidence, by who is no worse."""
EQUAL_COST = 0.05
"""Within a twentieth, tokens are equal: their number varies as much from one set of questions to another."""


class Interval(Section):
    """A number, and its bounds with 95% confidence."""

    value: float
    low: float
    high: float


class WayToChoose(Section):
    """How right and how dear the answers are that a way to choose arms takes."""

    name: str
    accuracy: float
    tokens: float = Field(description="An answer, read and written.")
    ahead: Interval = Field(description="In accuracy, the policy of this way, on the same questions.")


class PolicyWorth(Section):
    """A policy beside the best single arm, and other ways to choose."""

    questions: int
    groups: int = Field(description="Of questions that are not independent, as documents.")
    points: float = Field(description="What 1,000 tokens cost.")
    accuracy: float = Field(description="Of the policy.")
    tokens: float = Field(description="Of the policy, an answer.")
    best_arm: WayToChoose = Field(description="Chosen with hindsight, which favours it.")
    others: tuple[WayToChoose, ...] = Field(description="Every other arm, the best arm by kind, a mix of arms.")
    oracle: WayToChoose
    more_tokens: Interval = Field(description="An answer, than the best arm takes.")
    gain_at_best: float | None = Field(description="Null where the best arm is never right.")
    gap_at_oracle: float | None = Field(description="Null where no arm is ever right.")
    cost_save: Interval
    brier: float = Field(description="Mean squared error of the probabilities; 0 is perfect.")
    brier_of_means: float = Field(description="That of saying of every question how often the arm is right.")
    is_enabled: bool
    reason: str


@dataclass(frozen=True)
class _Taken:
    """The answers that a way to choose takes: how right they are and their tokens, float64 [questions] each."""

    name: str
    quality: Array
    tokens: Array


def worth_of(outcomes: Outcomes, choices: Choices, points: float) -> PolicyWorth:
    """Judge what a policy chose."""
    best = best_arm(outcomes, points)
    policy, single = _chosen("the policy", outcomes, choices.arms), _always(outcomes, best)
    oracle = _beside(outcomes, policy, _chosen("oracle", outcomes, _oracle(outcomes)))
    best_way = _beside(outcomes, policy, single)
    more_tokens = _more_tokens(outcomes, policy, single)
    is_enabled, reason = _decision(outcomes.arms[best].name, best_way, more_tokens)
    others = (
        *(_always(outcomes, arm) for arm in range(len(outcomes.arms)) if arm != best),
        _chosen("best arm by kind", outcomes, choices.by_kind),
        _mix(outcomes, float(policy.tokens.mean())),
    )
    accuracy = float(policy.quality.mean())
    return PolicyWorth(
        questions=len(outcomes),
        groups=len(np.unique(outcomes.group_numbers)),
        points=points,
        accuracy=accuracy,
        tokens=float(policy.tokens.mean()),
        best_arm=best_way,
        others=tuple(_beside(outcomes, policy, other) for other in others),
        oracle=oracle,
        more_tokens=more_tokens,
        gain_at_best=accuracy / best_way.accuracy - 1 if best_way.accuracy else None,
        gap_at_oracle=1 - accuracy / oracle.accuracy if oracle.accuracy else None,
        cost_save=_saved(more_tokens, best_way.tokens),
        brier=float(((choices.probabilities - outcomes.quality) ** 2).mean()),
        brier_of_means=float(((outcomes.quality.mean(axis=0) - outcomes.quality) ** 2).mean()),
        is_enabled=is_enabled,
        reason=reason,
    )


def _decision(name: str, best: WayToChoose, more: Interval) -> tuple[bool, str]:
    """Whether the policy is used: better at equal cost, or no worse at lower cost; and a sentence that says why."""
    ahead = best.ahead
    points = f"{100 * ahead.value:+.1f} points ({100 * ahead.low:+.1f} to {100 * ahead.high:+.1f})"
    cost = f"{more.value:+.0f} tokens an answer ({more.low:+.0f} to {more.high:+.0f})"
    beside = f"beside always {name}: {points}, {cost}"
    if ahead.low > 0 and more.high <= EQUAL_COST * best.tokens:
        return True, f"It is better at no higher cost, {beside}."
    if ahead.low >= -NO_WORSE and more.high < 0:
        return True, f"It is no worse at lower cost, {beside}."
    if ahead.low > 0:
        return False, f"It is better, but not surely at equal cost, {beside}. So {name} answers every question."
    return (
        False,
        f"It is neither surely better at equal cost nor surely no worse at lower cost, {beside}. "
        f"So {name} answers every question.",
    )


def _beside(outcomes: Outcomes, policy: _Taken, other: _Taken) -> WayToChoose:
    low, high = difference_interval(policy.quality, other.quality, outcomes.groups)
    ahead = Interval(value=float((policy.quality - other.quality).mean()), low=low, high=high)
    return WayToChoose(
        name=other.name, accuracy=float(other.quality.mean()), tokens=float(other.tokens.mean()), ahead=ahead
    )


def _more_tokens(outcomes: Outcomes, policy: _Taken, other: _Taken) -> Interval:
    more = policy.tokens - other.tokens
    widest = float(np.ptp(outcomes.tokens, axis=1).max())
    low, high = mean_interval(list(more), outcomes.groups, bounds=(-widest, widest)) if widest else (0.0, 0.0)
    return Interval(value=float(more.mean()), low=low, high=high)


def _chosen(name: str, outcomes: Outcomes, arms: Rows) -> _Taken:
    rows = np.arange(len(outcomes))
    return _Taken(name, outcomes.quality[rows, arms], outcomes.tokens[rows, arms])


def _always(outcomes: Outcomes, arm: int) -> _Taken:
    return _Taken(f"always {outcomes.arms[arm].name}", outcomes.quality[:, arm], outcomes.tokens[:, arm])


def _oracle(outcomes: Outcomes) -> Rows:
    pairs = zip(outcomes.quality, outcomes.tokens, strict=True)
    return np.array([best_first(quality, tokens, 0.0)[0] for quality, tokens in pairs], dtype=np.intp)


def _mix(outcomes: Outcomes, budget: float) -> _Taken:
    """What a coin between two arms takes on average for no more tokens than the policy (Hu et al. 2024,
    arXiv:2403.12031, call the best one the zero router); the cheapest arm where the policy takes fewer than any."""
    quality, tokens = outcomes.quality.mean(axis=0), outcomes.mean_tokens
    cheapest = int(np.lexsort((-quality, tokens))[0])
    mixes = [(cheapest, cheapest, 1.0)]
    for low, high in product(range(len(quality)), repeat=2):
        if tokens[low] <= budget:
            room = tokens[high] - tokens[low]
            mixes.append((low, high, 1.0 if room <= 0 else min(1.0, float((budget - tokens[low]) / room))))

    def worth(mix: tuple[int, int, float]) -> tuple[float, float]:
        low, high, share = mix
        return (
            float((1 - share) * quality[low] + share * quality[high]),
            -float((1 - share) * tokens[low] + share * tokens[high]),
        )

    low, high, share = max(mixes, key=worth)
    shares = np.zeros(len(quality))
    shares[low] += 1 - share
    shares[high] += share
    return _Taken("random mix of the same cost", (outcomes.quality @ shares).clip(0, 1), outcomes.tokens @ shares)


def _saved(more: Interval, tokens: float) -> Interval:
    value, low, high = (-each / tokens if tokens else 0.0 for each in (more.value, more.high, more.low))
    return Interval(value=value, low=low, high=high)
