"""A comparison as one HTML file: it loads nothing, runs nothing, reads on a phone and prints.

In: findings and the verdict on them. Out: the page, for a manager at its top and for an engineer below. It computes no
figure. Two comparisons that found the same are the same page.
"""

import math
from collections.abc import Sequence

from plait.jobs.compare.accuracy import OTHER
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.cost_scale import cost_scale
from plait.jobs.compare.findings import KINDS, Findings
from plait.jobs.compare.page.changes import forgetting_of_updates, fresh_states
from plait.jobs.compare.page.examples import examples
from plait.jobs.compare.page.pareto import ParetoPlot, pareto_plot
from plait.jobs.compare.sentences import as_time
from plait.jobs.compare.verdict import ArmVerdict, PairVerdict, Verdict
from plait.jobs.evaluate.page.environment import page_environment

_PLOT_SIZES = ((720.0, 400.0), (360.0, 380.0))
"""Of a screen and of a phone, in CSS pixels: letters of one plot would be too small on the other."""
_MEANINGS = {**KINDS, OTHER: "questions that name no kind", "": "all questions; each kind has the same weight"}
"""What the columns are; a kind that the eval set alone knows has none."""


def render(findings: Findings, verdict: Verdict) -> str:
    """The page. Whatever documents and models say is shown as text, never as HTML."""
    environment = page_environment("plait.jobs.compare.page")
    environment.filters |= {"time": _time, "percent_change": _percent_change, "perplexity": _perplexity}
    environment.filters["kind"] = _kind
    states = fresh_states(findings, verdict)
    asked_all = _asked_all(verdict)
    return environment.get_template("compare.html").render(
        findings=findings,
        verdict=verdict,
        meanings=_MEANINGS,
        questions=verdict.overall.questions,
        asked_all={arm.arm for arm in asked_all},
        plots=_plots(findings, verdict, asked_all),
        states=states,
        longest_state_s=max((state.seconds for state in states if state.seconds), default=0.0),
        forgetting=forgetting_of_updates(findings, verdict),
        pairs=_pairs(verdict),
        examples=examples(findings, verdict),
        arm_meanings={arm.name: _meaning(arm, findings) for arm in findings.arms},
    )


def _asked_all(verdict: Verdict) -> list[ArmVerdict]:
    """Arms that were asked every kind of question: a share of fewer kinds is not to be held against theirs."""
    kinds = [kind.kind for kind in verdict.kinds]
    return [arm for arm in verdict.arms if all(arm.by_kind.get(kind) is not None for kind in kinds)]


def _plots(findings: Findings, verdict: Verdict, asked_all: Sequence[ArmVerdict]) -> list[ParetoPlot]:
    plotted = [arm for arm in asked_all if arm.accuracy.value is not None]
    scale = cost_scale(plotted)
    if scale is None or len(plotted) < 2:
        return []
    return [pareto_plot(verdict, findings.arms, plotted, scale, width, height) for width, height in _PLOT_SIZES]


def _pairs(verdict: Verdict) -> dict[str, list[PairVerdict]]:
    """By kind, all questions together first; a kind without a pair is left out."""
    of_kinds = {
        kind: [pair for pair in verdict.pairs if pair.kind == kind]
        for kind in ("", *(kind.kind for kind in verdict.kinds))
    }
    return {kind: pairs for kind, pairs in of_kinds.items() if pairs}


def _meaning(arm: Arm, findings: Findings) -> str:
    """What an arm is, for somebody who did not write the recipe."""
    recipe = findings.recipe
    if arm.kind == "endpoint":
        return f"another model: {recipe.endpoints[arm.name].model}"
    parts = ["the base model"]
    if arm.kind == "icl":
        parts.append("with the examples in its prompt whose questions are nearest")
    if arm.trained:
        parts.append(f"trained on the examples ({recipe.tuned[arm.trained].adapter.method})")
    if arm.is_updated:
        parts.append("trained further on what changed")
    if arm.retrieves:
        parts.append("with passages of the index in its prompt")
    return ", ".join(parts) if len(parts) > 1 else "the base model as it is"


def _kind(name: str) -> str:
    """A kind as words; the empty name is of all questions together."""
    return name.replace("_", " ") or "all"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else as_time(seconds)


def _percent_change(after: float, before: float) -> str:
    """As in +5% or −2%; nothing of numbers that are none, as those of a training that diverged."""
    if not (math.isfinite(after) and math.isfinite(before)) or before <= 0:
        return ""
    change = round(100 * (after / before - 1), 1)
    return f"{change:+g}%".replace("-", "−") if change else "0%"


def _perplexity(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:.2f}" if math.isfinite(number) else "not finite"
