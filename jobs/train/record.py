"""What stays of a run: its metrics by step, a plot of its losses, sample answers before and after, in MLflow."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plait.adapters.progress import StepRecord
from plait.adapters.tracking import tracking_client
from plait.jobs.train.held_out import Sample

_NO_METRICS = {"step", "total_steps", "time_ms", "figures"}


def final_metrics(records: Sequence[StepRecord], before: dict[str, Any], measured: StepRecord) -> dict[str, float]:
    """The figures of a finished run.

    Args:
        records: every step.
        before: the held-out losses before the first step.
        measured: the step of the checkpoint that is registered.
    """
    tokens = sum(record.tokens for record in records)
    seconds = sum(record.tokens / record.tokens_per_second for record in records)
    final = {
        "loss": measured.loss,
        "steps": float(measured.step),
        "tokens_per_second": tokens / seconds,
        "general_perplexity_before": perplexity(before["general_loss"]),
    }
    if measured.general_loss is not None:
        final["general_perplexity"] = perplexity(measured.general_loss)
    if measured.eval_loss is not None:
        final |= {"eval_loss_before": before["eval_loss"], "eval_loss": measured.eval_loss}
    return final


def perplexity(loss: float) -> float:
    """e to the mean loss in nats, at most 10^12."""
    return min(math.exp(min(loss, 28.0)), 1e12)


def samples_table(before: Sequence[Sample], after: Sequence[Sample], tokenizer: Any) -> str:
    """Questions with their expected answer and those of the model before and after training, as Markdown."""
    lines = ["| question | expected | before | after |", "|---|---|---|---|"]
    for old, new in zip(before, after, strict=True):
        texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in (old["prompt"], old["expected"])]
        texts += [tokenizer.decode(sample["answer"], skip_special_tokens=True) for sample in (old, new)]
        lines.append("| " + " | ".join(" ".join(text.replace("|", "\\|").split()) for text in texts) + " |")
    return "\n".join(lines) + "\n"


def log_run(run_id: str, records: Sequence[StepRecord], samples: str) -> None:
    """Log every step, the plot and the samples to MLflow, and end the run."""
    from mlflow.entities import Metric

    client = tracking_client()
    entries = [
        Metric(key, value, record.time_ms, record.step)
        for record in records
        for key, value in (record.model_dump(exclude_none=True, exclude=_NO_METRICS) | record.figures).items()
    ]
    for start in range(0, len(entries), 1000):  # MLflow's limit for one batch
        client.log_batch(run_id, metrics=entries[start : start + 1000])
    with TemporaryDirectory() as folder:
        (Path(folder) / "samples.md").write_text(samples, encoding="utf-8")
        _plot(records, Path(folder) / "loss.png")
        client.log_artifacts(run_id, folder)
    client.set_terminated(run_id, end_time=int(time.time() * 1000))


def _plot(records: Sequence[StepRecord], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss, nats a token")
    axes.plot([r.step for r in records], [r.loss for r in records], label="training", alpha=0.6)
    for name, label in (("eval_loss", "held-out"), ("general_loss", "general text")):
        points = [(r.step, value) for r in records if (value := getattr(r, name)) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)
