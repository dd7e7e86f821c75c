"""What time does to an arm: how soon it answers a changed fact, and what training takes from what a model knew.

In: findings and a verdict. Out: rows of tables. It measures nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plait.evaluation.statistics.figure import Figure
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.findings import CHANGED, LEARNED, Findings
from plait.jobs.compare.verdict import Verdict


@dataclass(frozen=True)
class FreshState:
    """An arm after documents have changed.

    Attributes:
        brought: what of it was updated, as a reader calls it.
        seconds: that this takes; None: not measured, or nothing was updated.
        accuracy: on changed facts; None: it was not asked about any.
    """

    arm: str
    brought: str
    seconds: float | None
    accuracy: Figure | None


@dataclass(frozen=True)
class Forgetting:
    """Accuracy on learned facts before and after the further training on what changed."""

    arm: str
    before: Figure
    after: Figure


def fresh_states(findings: Findings, verdict: Verdict) -> list[FreshState]:
    """Every arm after the change, those that nobody updated first; none where nothing changed."""
    if verdict.freshness is None:
        return []
    accuracy = {arm.arm: arm.by_kind.get(CHANGED) for arm in verdict.arms}
    states = [
        FreshState(arm.name, _brought(arm), _seconds(arm, verdict), accuracy.get(arm.name)) for arm in findings.arms
    ]
    return sorted(states, key=lambda state: _ORDER.index(state.brought))


def forgetting_of_updates(findings: Findings, verdict: Verdict) -> list[Forgetting]:
    """Of each arm that was trained further, and was asked what it had learned before and after."""
    accuracy = {arm.arm: arm.by_kind.get(LEARNED) for arm in verdict.arms}
    found = []
    for arm in findings.arms:
        stale = [
            other.name
            for other in findings.arms
            if (other.trained, other.retrieves, other.is_updated) == (arm.trained, arm.retrieves, False)
        ]
        if arm.is_updated and stale:
            before, after = accuracy.get(stale[0]), accuracy.get(arm.name)
            if before is not None and after is not None:
                found.append(Forgetting(arm.name, before, after))
    return found


_NEITHER, _STALE = "nothing was updated", "stale weights"
_INDEX, _WEIGHTS, _BOTH = "index updated", "weights updated", "index and weights updated"
_ORDER: Sequence[str] = (_NEITHER, _STALE, _INDEX, _WEIGHTS, _BOTH)


def _brought(arm: Arm) -> str:
    if arm.is_updated:
        return _BOTH if arm.retrieves else _WEIGHTS
    if arm.retrieves:
        return _INDEX
    return _STALE if arm.trained else _NEITHER


def _seconds(arm: Arm, verdict: Verdict) -> float | None:
    """Of the index and the weights one after the other, where it needs both."""
    assert verdict.freshness is not None
    parts: list[float | None] = []
    if arm.retrieves:
        parts.append(verdict.freshness.reindex_seconds)
    if arm.is_updated:
        parts.append(verdict.freshness.retrain_seconds.get(arm.trained))
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None
