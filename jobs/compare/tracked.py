"""A comparison in MLflow: its figures as metrics, its verdict as a note and tags, its report as artefacts."""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plait.adapters.tracking import metric_name, start_run
from plait.evaluation.runs.answerers import TAG, answerers_tag
from plait.evaluation.statistics.figure import Figure
from plait.jobs.compare.findings import Findings
from plait.jobs.compare.report import PAGE, REPORT
from plait.jobs.compare.verdict import ArmVerdict, Verdict

_NOTE = "mlflow.note.content"
"""The tag that MLflow's pages show as the description of a run."""
_METRICS_A_BATCH = 1000
_NOT_OF_A_PART = re.compile(r"[^\w\- ]")


def track(client: Any, findings: Findings, verdict: Verdict, folder: Path) -> str:
    """Log a comparison as a run of MLflow.

    Args:
        client: of the tracking server (`tracking_client`).
        folder: with what `write_report` wrote.

    Returns: The id of the run.
    """
    from mlflow.entities import Metric

    run_id = start_run(client, f"compare {findings.recipe.name}", _params(findings))
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in _metrics(findings, verdict)]
    for start in range(0, len(metrics), _METRICS_A_BATCH):
        client.log_batch(run_id, metrics[start : start + _METRICS_A_BATCH])
    client.set_tag(run_id, TAG, answerers_tag(_answered(findings)))
    for name, text in _tags(verdict).items():
        client.set_tag(run_id, name, text)
    for file in (PAGE, REPORT):
        client.log_artifact(run_id, str(folder / file))
    client.set_terminated(run_id)
    return run_id


def _params(findings: Findings) -> dict[str, Any]:
    """Fields of the recipe that are no sections, and what the answers follow from; the report has all of it."""
    fields = findings.recipe.model_dump(mode="json", exclude_none=True)
    return {
        **{name: value for name, value in fields.items() if not isinstance(value, dict | list)},
        "arms": ", ".join(arm.name for arm in findings.arms),
        "judge": findings.evaluation.judge,
        **{metric_name(f"identity/{name}"): value for name, value in findings.identity.items()},
    }


def _metrics(findings: Findings, verdict: Verdict) -> Iterator[tuple[str, float]]:
    """`accuracy/rag/base` is of all questions, `accuracy/rag/base/learned` of a kind; `….low` and `….high` bound it,
    `….unsaid` cannot be said. `latency_ms/rag/base`, `fixed_seconds/rag/base`, … are as in the verdict."""
    for name, value in _numbers(findings, verdict):
        if value is not None and math.isfinite(value):
            yield metric_name(name), float(value)


def _numbers(findings: Findings, verdict: Verdict) -> Iterator[tuple[str, float | None]]:
    yield "questions", verdict.overall.questions
    for arm in verdict.arms:
        yield from _of_arm(arm)
    if findings.indexing is not None:
        yield "index_seconds", findings.indexing.seconds
    if verdict.freshness is not None:
        yield "reindex_seconds", verdict.freshness.reindex_seconds
        for name, seconds in verdict.freshness.retrain_seconds.items():
            yield f"retrain_seconds/{name}", seconds


def _of_arm(arm: ArmVerdict) -> Iterator[tuple[str, float | None]]:
    yield from _figure(f"accuracy/{arm.arm}", arm.accuracy)
    for kind, found in arm.by_kind.items():
        yield from _figure(f"accuracy/{arm.arm}/{_NOT_OF_A_PART.sub('_', kind) or 'no_kind'}", found)
    yield from _figure(f"grounding/{arm.arm}", arm.grounding)
    for name, value in asdict(arm).items():
        if isinstance(value, int | float):
            yield f"{name}/{arm.arm}", value
    if arm.perplexity is not None:
        yield f"perplexity_before/{arm.arm}", arm.perplexity[0]
        yield f"perplexity_after/{arm.arm}", arm.perplexity[1]


def _figure(name: str, found: Figure | None) -> Iterator[tuple[str, float | None]]:
    if found is not None:
        yield name, found.value
        yield from ((f"{name}.low", found.low), (f"{name}.high", found.high), (f"{name}.unsaid", found.unsaid))


def _answered(findings: Findings) -> Iterator[tuple[str, str]]:
    """Who answered as each arm, whatever its runs are called."""
    names = {run: arm.name for arm in findings.arms for run in arm.runs}
    for judged in findings.evaluation.trials:
        yield names[judged.trial.arm], judged.trial.answered_by


def _tags(verdict: Verdict) -> dict[str, str]:
    """The verdict: as the description of the run, and which arm is recommended for what."""
    limits = [f"- {sentence}" for sentence in (*verdict.untold, *verdict.caveats)]
    recommended = {
        "recommended": verdict.overall.recommended,
        **{_recommended_for(kind.kind): kind.recommended for kind in verdict.kinds},
    }
    return {
        _NOTE: "\n\n".join((*verdict.sentences, "\n".join(limits))).strip(),
        "verdict": " ".join(verdict.sentences),
        "is_settled": str(verdict.overall.is_settled).lower(),
    } | {tag: arm for tag, arm in recommended.items() if arm is not None}


def _recommended_for(kind: str) -> str:
    return metric_name(f"recommended/{_NOT_OF_A_PART.sub('_', kind) or 'no_kind'}")
