"""The gate: what a candidate must reach, measured through a running server, before any user's request is its.

In: a candidate, the champion, and what the recipe asks. Out: a `GateReport` with a sentence for each check. It changes
nothing that is served: the candidate is asked by its version, which means the same before and after.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from plait.adapters.registry import AdapterVersion
from plait.errors import InvalidInput
from plait.evaluation.gate import GateNotMet
from plait.evaluation.patterns import checked_pattern, has_form, holds
from plait.evaluation.statistics.comparisons import Comparison
from plait.jobs.evaluate.job import evaluate
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.model_ids import BASE
from plait.recipes import EvaluateRecipe
from plait.recipes.promote import GateConfig, GateEvaluation, GateSafety

_GROUNDING = "faithfulness"


class GateCheck(BaseModel):
    """One check and its sentence."""

    model_config = ConfigDict(frozen=True)

    name: str
    is_met: bool
    what: str


class GateReport(BaseModel):
    """All checks of a candidate against a champion (`base` where there was none). `folders`: of the evaluations."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    champion: str
    checks: tuple[GateCheck, ...]
    folders: tuple[str, ...]

    @property
    def is_met(self) -> bool:
        return all(check.is_met for check in self.checks)

    def check(self) -> None:
        """Go on only if the gate is met.

        Raises:
            GateNotMet: with a sentence for each check that is not.
        """
        if not self.is_met:
            raise GateNotMet(" ".join(check.what for check in self.checks if not check.is_met))


@dataclass(frozen=True)
class _Found:
    checks: tuple[GateCheck, ...]
    folder: Path | None


def gate_report(
    config: GateConfig, candidate: AdapterVersion, champion: AdapterVersion | None, base_url: str
) -> GateReport:
    """Measure a candidate.

    Args:
        champion: None: it is held against the base model.

    Raises:
        DataError: for a bad eval set.
        InvalidInput: when there is no such metric or judge, or a pattern is none.
        ModelNotFound: when the server does not serve one of the two.
        Unavailable: when no server answers.
    """
    patterns = _checked(config.safety.forbidden) if config.safety else []
    versus = champion.key if champion else BASE
    # What costs nothing first: a candidate that has forgotten too much need not be asked.
    checks = list(_forgetting(config.max_forgetting, candidate))
    folders: list[str] = []
    if all(check.is_met for check in checks):
        found = _evaluated(config, config.evaluate, candidate.key, versus, base_url)
        safe = _safe(config.safety, patterns, candidate.key, base_url)
        for part in (found, safe):
            checks += part.checks
            folders += [str(part.folder)] if part.folder else []
    return GateReport(at=datetime.now(UTC), champion=versus, checks=tuple(checks), folders=tuple(folders))


def _checked(patterns: Sequence[str]) -> list[str]:
    try:
        return [checked_pattern(pattern) for pattern in patterns]
    except ValueError as error:
        raise InvalidInput(f"An expression of gate.safety.forbidden {error}.") from None


def _forgetting(limit: float | None, candidate: AdapterVersion) -> Iterator[GateCheck]:
    if limit is None:
        return
    measured = candidate.metadata.metrics
    before, after = measured.get("general_perplexity_before"), measured.get("general_perplexity")
    if before is None or after is None:
        yield GateCheck(
            name="forgetting",
            is_met=False,
            what=f"What {candidate.key} has forgotten was not measured when it was trained; gate.max_forgetting=null "
            "goes without.",
        )
        return
    yield GateCheck(
        name="forgetting",
        is_met=after <= limit * before,
        what=f"Perplexity on general text is {after / before:.2f} times the base model's; {limit:g} times is allowed.",
    )


def _evaluated(config: GateConfig, asks: GateEvaluation, candidate: str, champion: str, base_url: str) -> _Found:
    prefix = "rag/" if asks.retrieval else ""
    first, second = f"{prefix}{candidate}", f"{prefix}{champion}"
    metrics = [asks.metric] + ([_GROUNDING] if asks.grounding_margin is not None else [])
    fields = asks.model_dump(exclude={"metric", "margin", "retrieval", "grounding_margin"})
    report = evaluate(EvaluateRecipe(**fields, models=[first, second], metrics=list(dict.fromkeys(metrics))), base_url)
    checks = [_no_worse(report, asks.metric, first, second, asks.margin)]
    if asks.grounding_margin is not None:
        checks.append(_no_worse(report, _GROUNDING, first, second, asks.grounding_margin))
    checks += _latency(report, first, second, config.max_latency_ratio)
    return _Found(tuple(checks), report.folder)


def _no_worse(report: EvaluationReport, metric: str, first: str, second: str, margin: float) -> GateCheck:
    found = next((each for each in report.comparisons if each.metric == metric), None)
    if found is None:
        lacks = ", ".join(report.inapplicable.get(metric, ())) or "a reply"
        return GateCheck(name=metric, is_met=False, what=f"The eval set has no {metric}: its rows lack {lacks}.")
    of_first, of_second = (report.figure(metric, arm) for arm in (first, second))
    values = [figure.value if figure and figure.value is not None else math.nan for figure in (of_first, of_second)]
    return GateCheck(
        name=metric,
        is_met=found.low >= -margin,
        what=f"{metric} of {first} is {values[0]:.3f}, of {second} {values[1]:.3f}: {_difference(found)} over "
        f"{found.submitted} questions; its low end must reach {-margin:g}{_advice(found, margin)}.",
    )


def _difference(found: Comparison) -> str:
    value = "unknown" if found.value is None else f"{found.value:+.3f}"
    return f"a difference of {value}, between {found.low:+.3f} and {found.high:+.3f},"


def _advice(found: Comparison, margin: float) -> str:
    """Whether more questions could help: where it may well be no worse, and is only not sure enough."""
    return ", which more questions may settle" if found.low < -margin <= found.high else ""


def _latency(report: EvaluationReport, first: str, second: str, limit: float | None) -> Iterator[GateCheck]:
    if limit is None:
        return
    taken = [
        {judged.trial.question_key: judged.trial.timings_ms.get("total") for judged in report.of_arm(arm)}
        for arm in (first, second)
    ]
    ratios = [
        math.log(mine / other) for key, mine in taken[0].items() if mine and (other := taken[1].get(key)) is not None
    ]
    if not ratios:
        yield GateCheck(name="latency", is_met=False, what=f"No question was answered by both {first} and {second}.")
        return
    ratio = math.exp(sum(ratios) / len(ratios))
    yield GateCheck(
        name="latency",
        is_met=ratio <= limit,
        what=f"An answer of {first} takes {ratio:.2f} times as long as one of {second}; {limit:g} times is allowed.",
    )


def _safe(safety: GateSafety | None, forbidden: list[str], candidate: str, base_url: str) -> _Found:
    if safety is None:
        return _Found((), None)
    fields = safety.model_dump(exclude={"forbidden", "max_failures"})
    report = evaluate(EvaluateRecipe(**fields, models=[candidate]), base_url)
    broken = [judged for judged in report.trials if _breaks(judged, forbidden)]
    example = f", as the one to '{broken[0].trial.sample.question[:80]}'" if broken else ""
    check = GateCheck(
        name="safety",
        is_met=len(broken) <= safety.max_failures,
        what=f"{len(broken)} of {len(report.trials)} replies to the safety set break a rule{example}; "
        f"{safety.max_failures} may.",
    )
    return _Found((check,), report.folder)


def _breaks(judged: JudgedTrial, forbidden: list[str]) -> bool:
    """Whether a reply is missing, holds what is forbidden, or has not the form that its row asks for."""
    sample = judged.trial.sample
    if judged.trial.error or any(holds(sample.reply, pattern) for pattern in forbidden):
        return True
    return sample.pattern is not None and not has_form(sample.reply, sample.pattern)
