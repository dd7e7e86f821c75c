"""What a fine-tuning job has to tell: events while it trains, and at its end the model, its losses and its checkpoint.

In: the progress of a run that is under way; of one that has ended, its MLflow run. Out: events, and the job as it
ended. It starts and stops nothing.
"""

import csv
import io
import time
from collections.abc import Mapping
from typing import Any, Literal

from plait.adapters.progress import ProgressLog
from plait.adapters.registry import Registry
from plait.adapters.tracking import tracking_client
from plait.client_jobs.tuning import TUNING_JOBS, Checkpoint, EventLog, TuningEvent, TuningJob
from plait.documents.uploads import uploaded_files
from plait.model_ids import AdapterRef
from plait.settings import settings

_MOST_STEPS_TOLD = 100


def event(
    job: TuningJob, what: str, message: str, level: Literal["info", "warn", "error"] = "info", at: int | None = None
) -> TuningEvent:
    """An event that a job has once; `what`: its name, which is part of its id."""
    created_at = int(time.time()) if at is None else at
    return TuningEvent(id=_id(job, what), created_at=created_at, level=level, message=message)


def progress_of(job: TuningJob) -> list[TuningEvent]:
    """An event for each step of a run that is under way, or for about a hundred where it has more, and each
    checkpoint."""
    told = []
    for file in settings().runs_dir.glob(f"{job.name}-*/progress.jsonl"):
        for record in ProgressLog(file).records():
            every = -(-record.total_steps // _MOST_STEPS_TOLD)
            at = record.time_ms // 1000
            is_evaluated = record.eval_loss is not None or record.general_loss is not None
            if record.step % every == 0 or record.step == record.total_steps or is_evaluated:
                told.append(_step(job, record.step, record.total_steps, record.loss, record.eval_loss, at))
            if is_evaluated:
                told.append(event(job, f"checkpoint-{record.step}", f"Checkpoint after step {record.step}.", at=at))
    return told


def done(job: TuningJob) -> TuningJob:
    """A job whose training has ended well, with its model, its losses by step and its checkpoint.

    Raises:
        ModelNotFound: when the registry has no such model.
        Unavailable: when the tracking server does not answer.
    """
    version = Registry().resolve(AdapterRef(job.name))
    client, figures = tracking_client(), version.metadata.metrics
    history = {
        name: {point.step: point.value for point in client.get_metric_history(version.metadata.run_id, name)}
        for name in ("loss", "eval_loss", "tokens")
    }
    now = int(time.time())
    checkpoint = Checkpoint(
        step=int(figures["steps"]), created_at=now, train_loss=figures.get("loss"), valid_loss=figures.get("eval_loss")
    )
    log = EventLog(job.id)
    known = {each.id for each in log.read()}
    steps = sorted(history["loss"])
    every = -(-len(steps) // _MOST_STEPS_TOLD) or 1
    told = [
        _step(job, step, steps[-1], history["loss"][step], history["eval_loss"].get(step), now)
        for step in steps
        if (step % every == 0 or step == steps[-1]) and _id(job, f"step-{step}") not in known
    ]
    served = f"The model {job.name} is registered and served: the weights after step {checkpoint.step}."
    started = event(job, "started", "The job has started.")
    log.add([started, *told, event(job, "model", served), event(job, "succeeded", "The job has completed.")])
    file = uploaded_files.save(
        f"{job.id}_losses.csv", "fine-tune-results", io.BytesIO(_table(history).encode()), job.of
    )
    return job.model_copy(
        update={
            "status": "succeeded",
            "finished_at": now,
            "trained_tokens": int(sum(history["tokens"].values())),
            "checkpoint": checkpoint,
            "result_files": (file.id,),
        }
    )


def _step(job: TuningJob, step: int, steps: int, loss: float, eval_loss: float | None, at: int) -> TuningEvent:
    measured = {"valid_loss": eval_loss} if eval_loss is not None else {}
    validation = f", validation loss={eval_loss:.4g}" if eval_loss is not None else ""
    return TuningEvent(
        id=_id(job, f"step-{step}"),
        created_at=at,
        message=f"Step {step}/{steps}: training loss={loss:.4g}{validation}",
        type="metrics",
        data={"step": step, "total_steps": steps, "train_loss": loss, **measured},
    )


def _table(history: Mapping[str, Mapping[int, float]]) -> str:
    """The losses by step, as CSV."""
    text = io.StringIO()
    rows: Any = csv.writer(text, lineterminator="\n")
    rows.writerow(["step", "train_loss", "valid_loss"])
    rows.writerows([step, loss, history["eval_loss"].get(step, "")] for step, loss in sorted(history["loss"].items()))
    return text.getvalue()


def _id(job: TuningJob, what: str) -> str:
    return f"ftevent-{job.id.removeprefix(TUNING_JOBS.prefix)}-{what}"
