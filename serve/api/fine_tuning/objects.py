"""A fine-tuning job, its events and its checkpoints, as OpenAI's clients know them."""

from typing import Any, Literal

from pydantic import BaseModel

from plait.client_jobs.tuning import TUNING_JOBS, Failure, Hyperparameters, Status, TuningEvent, TuningJob


class MethodHyperparameters(BaseModel):
    hyperparameters: Hyperparameters


class MethodObject(BaseModel):
    type: Literal["supervised", "dpo"]
    supervised: MethodHyperparameters | None = None
    dpo: MethodHyperparameters | None = None


class FineTuningJob(BaseModel):
    """Times are seconds since 1970, UTC. `fine_tuned_model`: the model id by which the result is served."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    status: Status
    model: str
    organization_id: str
    training_file: str
    validation_file: str | None
    hyperparameters: Hyperparameters
    method: MethodObject
    seed: int
    fine_tuned_model: str | None = None
    finished_at: int | None = None
    error: Failure | None = None
    trained_tokens: int | None = None
    result_files: list[str]
    estimated_finish: int | None = None
    integrations: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None


class FineTuningJobEvent(BaseModel):
    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, float] | None = None


class CheckpointMetrics(BaseModel):
    """Losses are in nats a token."""

    step: int
    train_loss: float | None = None
    valid_loss: float | None = None


class FineTuningJobCheckpoint(BaseModel):
    """The step whose weights are served; the other checkpoints of a run are kept for its own sake only."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: CheckpointMetrics


def job_object(job: TuningJob) -> FineTuningJob:
    """A job; one that is to end is cancelled already, though its last step may still be under way."""
    to_end = None if job.has_ended else TUNING_JOBS.to_end_since(job.id)
    hyperparameters = MethodHyperparameters(hyperparameters=job.hyperparameters)
    return FineTuningJob(
        id=job.id,
        created_at=job.created_at,
        status=job.status if to_end is None else "cancelled",
        model=job.model,
        organization_id=job.of.tenant or "plait",
        training_file=job.training_file,
        validation_file=job.validation_file,
        hyperparameters=job.hyperparameters,
        method=MethodObject(type=job.method, **{job.method: hyperparameters}),
        seed=job.seed,
        fine_tuned_model=job.name if job.status == "succeeded" else None,
        finished_at=job.finished_at if to_end is None else to_end,
        error=job.error,
        trained_tokens=job.trained_tokens,
        result_files=list(job.result_files),
        metadata=job.metadata or None,
    )


def event_object(event: TuningEvent) -> FineTuningJobEvent:
    return FineTuningJobEvent(**event.model_dump())


def checkpoint_objects(job: TuningJob) -> list[FineTuningJobCheckpoint]:
    """The one checkpoint of a job that has succeeded."""
    kept = job.checkpoint
    if kept is None:
        return []
    return [
        FineTuningJobCheckpoint(
            id=f"ftckpt_{job.id.removeprefix(TUNING_JOBS.prefix)}",
            created_at=kept.created_at,
            fine_tuned_model_checkpoint=f"{job.name}:1",
            fine_tuning_job_id=job.id,
            step_number=kept.step,
            metrics=CheckpointMetrics(step=kept.step, train_loss=kept.train_loss, valid_loss=kept.valid_loss),
        )
    ]
