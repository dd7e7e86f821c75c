"""An evaluation in MLflow: its figures as metrics, its trials as a table, and the folder of the run as artefacts."""

import time
from dataclasses import asdict
from typing import Any

from plait.adapters.tracking import metric_name, start_run
from plait.evaluation.runs.answerers import TAG, answerers_tag
from plait.jobs.evaluate.report import EvaluationReport
from plait.section import Section

_TABLE = "trials.json"


def track(client: Any, report: EvaluationReport, recipe: Section) -> str:
    """Log an evaluation as a run of MLflow.

    Args:
        client: of the tracking server (`tracking_client`).

    Returns: The id of the run.
    """
    from mlflow.entities import Metric

    assert report.folder is not None
    params = {**recipe.model_dump(mode="json", exclude_none=True), "judge": report.judge}
    run_id = start_run(client, f"evaluate {report.folder.name}", params)
    now = int(time.time() * 1000)
    client.log_batch(run_id, [Metric(name, value, now, 0) for name, value in _metrics(report).items()])
    answered = [(judged.trial.arm, judged.trial.answered_by) for judged in report.trials]
    client.set_tag(run_id, TAG, answerers_tag(answered))
    client.log_table(run_id, _table(report), _TABLE)
    client.log_artifacts(run_id, str(report.folder), "run")
    client.set_terminated(run_id)
    return run_id


def _metrics(report: EvaluationReport) -> dict[str, float]:
    """`contains/rag/base` is the value, `….low` and `….high` bound it, `….unsaid` cannot be said.

    `latency_ms/rag/base`, `cost/rag/base`, … are of an answer; `judge_cost`, `judge_calls`, … what judging took in all.
    """
    metrics: dict[str, float] = {}
    for metric in report.metrics:
        for arm in report.arms:
            found = report.figure(metric, arm)
            if found is None:
                continue
            name = metric_name(f"{metric}/{arm}")
            if found.value is not None:
                metrics[name] = found.value
            metrics |= {f"{name}.low": found.low, f"{name}.high": found.high, f"{name}.unsaid": float(found.unsaid)}
    taken: dict[str, float | None] = {}
    for costs in report.costs:
        named = asdict(costs)
        arm = named.pop("arm")
        taken |= {metric_name(f"{name}/{arm}"): value for name, value in named.items()}
    if report.judge_use.calls:
        taken |= {f"judge_{name}": value for name, value in asdict(report.judge_use).items()}
        taken["judge_cost"] = report.judge_cost
    return metrics | {name: float(value) for name, value in taken.items() if value is not None}


def _table(report: EvaluationReport) -> dict[str, list[Any]]:
    """Columns of trials, one for each metric."""
    trials = [judged.trial for judged in report.trials]
    columns: dict[str, list[Any]] = {
        "arm": [trial.arm for trial in trials],
        "question": [trial.sample.question for trial in trials],
        "reply": [trial.sample.reply for trial in trials],
        "error": [trial.error for trial in trials],
        "answers": [list(trial.sample.answers) for trial in trials],
        "passages": [trial.sample.passage_texts for trial in trials],
        "kind": [trial.sample.kind for trial in trials],
        "latency_ms": [trial.timings_ms.get("total") for trial in trials],
        "prompt_tokens": [trial.prompt_tokens for trial in trials],
        "completion_tokens": [trial.completion_tokens for trial in trials],
        "cost": [trial.cost for trial in trials],
    }
    for metric in report.metrics:
        scores = [judged.scores.get(metric) for judged in report.trials]
        columns[metric] = [None if score is None else score.value for score in scores]
        columns[f"{metric}: why"] = ["" if score is None else score.reason for score in scores]
    return columns
