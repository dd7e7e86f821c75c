"""What the requests of a step say about a rollout: go on, take the next step, or roll back.

In: the plan and what the requests of both versions add up to since the step began. Out: a `Decision` with its reason.
One may ask after every request: bounds are confidence sequences, whose errors over all steps and metrics together have
a probability of the plan's alpha. Versions are compared within a step, on requests of the same time.

It never skips a step: all it can say is that this one is over. What nobody judged neither promotes nor rolls back.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from plait.adapters.rollout import ArmSamples, RolloutPlan, StageSamples
from plait.evaluation.statistics.confidence_sequences import (
    Moments,
    least_difference_in_means,
    least_difference_in_rates,
)

_FEWEST_FOR_MEANS = 20
"""Samples of each version below which the central limit theorem is not asked, whatever the plan says."""


@dataclass(frozen=True)
class Decision:
    """`wait`: more samples are needed, `why` says which. `roll_back`: the candidate is worse, `why` says in what."""

    what: Literal["wait", "advance", "roll_back"]
    why: str


def decide(plan: RolloutPlan, stage: int, samples: StageSamples) -> Decision:
    """What a step's samples say."""
    alpha = plan.alpha / (plan.stages * _metrics(plan))
    worse = next(_worse(plan, stage, samples, alpha), None)
    if worse is not None:
        return Decision("roll_back", worse)
    missing = list(_missing(plan, stage, samples))
    if missing:
        return Decision("wait", f"waiting for {' and '.join(missing)}")
    return Decision("advance", _held(plan, samples))


def _metrics(plan: RolloutPlan) -> int:
    return 1 + (plan.max_latency_ratio is not None) + (plan.quality is not None)


def _worse(plan: RolloutPlan, stage: int, samples: StageSamples, alpha: float) -> Iterator[str]:
    """In what the candidate is surely worse."""
    candidate, champion = samples.candidate, samples.champion
    more_errors = float(
        least_difference_in_rates(candidate.errors, candidate.requests, champion.errors, champion.requests, alpha)
    )
    if more_errors > 0:
        yield (
            f"errors: {candidate.errors} of {candidate.requests} requests failed, {champion.errors} of "
            f"{champion.requests} of the champion's; at least {more_errors:.1%} more"
        )
    wanted = _least_requests(plan, stage)
    least, tight_at = max(wanted, _FEWEST_FOR_MEANS), _requests_for(plan, stage, wanted)
    if plan.max_latency_ratio is not None and min(candidate.latencies, champion.latencies) >= least:
        slower = least_difference_in_means(_latency(candidate), _latency(champion), alpha, tight_at)
        if slower > math.log(plan.max_latency_ratio):
            yield (
                f"latency: an answer takes at least {math.exp(slower):.2f} times as long as the champion's, "
                f"{plan.max_latency_ratio:g} times is allowed"
            )
    least, tight_at = max(plan.min_judged, _FEWEST_FOR_MEANS), _requests_for(plan, stage, plan.min_judged)
    if plan.quality is not None and min(candidate.judged, champion.judged) >= least:
        lower = least_difference_in_means(_quality(champion), _quality(candidate), alpha, tight_at)
        if lower > plan.quality_margin:
            yield (
                f"quality: {plan.quality} is {_mean(candidate):.3f} over {candidate.judged} answers, the champion's "
                f"{_mean(champion):.3f} over {champion.judged}; at least {float(lower):.3f} lower"
            )


def _missing(plan: RolloutPlan, stage: int, samples: StageSamples) -> Iterator[str]:
    """What the step still needs before it may end."""
    least = _least_requests(plan, stage)
    for name, arm in (("candidate", samples.candidate), ("champion", samples.champion)):
        if arm.requests < least:
            yield f"{least - arm.requests} more requests of the {name}"
        if plan.quality is not None and arm.judged < plan.min_judged:
            yield f"{plan.min_judged - arm.judged} more answers of the {name} judged by {plan.quality}"


def _least_requests(plan: RolloutPlan, stage: int) -> int:
    return plan.shadow_samples if stage < 0 else plan.min_samples


def _held(plan: RolloutPlan, samples: StageSamples) -> str:
    candidate = samples.candidate
    said = f"{candidate.requests} requests, {candidate.errors} failed"
    if plan.quality is not None:
        said += f", {plan.quality} {_mean(candidate):.3f} against {_mean(samples.champion):.3f}"
    return said


def _requests_for(plan: RolloutPlan, stage: int, samples: int) -> float:
    """Requests of both versions by when each has so many, as the weight has it."""
    weight = plan.steps[stage] / 100 if stage >= 0 else 0.5
    return samples / max(min(weight, 1 - weight), 0.01)


def _latency(arm: ArmSamples) -> Moments:
    return Moments(arm.latencies, arm.latency_total, arm.latency_squares)


def _quality(arm: ArmSamples) -> Moments:
    return Moments(arm.judged, arm.quality_total, arm.quality_squares)


def _mean(arm: ArmSamples) -> float:
    return arm.quality_total / arm.judged if arm.judged else math.nan
