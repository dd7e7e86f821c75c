"""What a promotion prints: its gate, and what follows."""

from collections.abc import Iterator

from plait.jobs.promote.job import Promotion


def said(found: Promotion) -> Iterator[str]:
    """A line for each check, and what the candidate is now."""
    for check in found.gate.checks if found.gate else ():
        yield f"gate: {check.what}"
    name = found.candidate.partition(":")[0]
    if found.rollout is None:
        yield f"{name}@{found.alias} is now {found.candidate}"
        return
    plan = found.rollout.plan
    steps = ", ".join(f"{weight}%" for weight in (*plan.steps, 100))
    shadow = f"a shadow of {plan.shadow_samples} answers, then " if plan.shadow_share else ""
    yield f"{found.candidate} is being rolled out to {name}@{found.alias}, which is {found.champion}: {shadow}{steps}"
    yield f"follow it: plait adapters rollouts {name}   end it: plait rollback {name}"
