"""Fine-tuning jobs that clients order: what is asked for, how far it is, and whose the model is that comes of it.

In: states and events. Out: the same. The recipe lies beside the state; this module does not know how one trains.
"""

import json
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from plait.client_jobs.folders import ClientJob, JobFolders
from plait.documents.uploads.reach import Reach

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
_ENDED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
_MODEL = re.compile(r"ft-(?:[a-z0-9-]+-)?([0-9a-f]{24})")
RECIPE_FILE = "recipe.yaml"


class Failure(BaseModel):
    """Why a job failed. `param`: the field of the order at fault, where one is."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    param: str | None = None


class Hyperparameters(BaseModel):
    """What a job trains with: as asked for, else what the recipe says; `auto`: a number that OpenAI's shape has no
    form for, such as half an epoch. `beta`: of DPO."""

    model_config = ConfigDict(frozen=True)

    n_epochs: int | Literal["auto"] = "auto"
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    beta: float | Literal["auto"] | None = None


class Checkpoint(BaseModel):
    """The step whose weights are served. Losses are in nats a token."""

    model_config = ConfigDict(frozen=True)

    step: int
    created_at: int
    train_loss: float | None = None
    valid_loss: float | None = None


class TuningJob(ClientJob):
    """An order to fine-tune.

    Attributes:
        name: of the adapter that it makes, which is the model id by which it is served.
        model: what is trained, as the client named it.
        training_file, validation_file: ids of files.
        result_files: ids of files with the losses by step.
    """

    name: str
    status: Status = "validating_files"
    model: str
    training_file: str
    validation_file: str | None = None
    method: Literal["supervised", "dpo"] = "supervised"
    hyperparameters: Hyperparameters = Hyperparameters()
    seed: int = 0
    finished_at: int | None = None
    error: Failure | None = None
    trained_tokens: int | None = None
    result_files: tuple[str, ...] = ()
    checkpoint: Checkpoint | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED


class TuningEvent(BaseModel):
    """Something that happened. `data` of the type `metrics`: step, total_steps, train_loss, valid_loss."""

    model_config = ConfigDict(frozen=True)

    id: str
    created_at: int
    level: Literal["info", "warn", "error"] = "info"
    message: str
    type: Literal["message", "metrics"] = "message"
    data: dict[str, float] | None = None


TUNING_JOBS: JobFolders[TuningJob] = JobFolders(
    TuningJob, "fine_tuning", "ftjob-", "fine-tuning job", "/v1/fine_tuning/jobs"
)


def model_name(job_id: str, suffix: str | None) -> str:
    """The name of the adapter that a job makes: it says what the client calls it, and which job made it."""
    slug = re.sub(r"[^a-z0-9]+", "-", (suffix or "").lower()).strip("-")
    return "-".join(filter(None, ("ft", slug, job_id.removeprefix(TUNING_JOBS.prefix))))


def maker_of(model: str) -> tuple[Reach, str] | None:
    """Within whose reach a model was ordered, and by whom; None: no client did."""
    match = _MODEL.fullmatch(model)
    return _maker(TUNING_JOBS.root, f"{TUNING_JOBS.prefix}{match[1]}") if match else None


@lru_cache(maxsize=4096)
def _ordered(root: Path, job_id: str) -> tuple[Reach, str]:
    job = TUNING_JOBS.find(job_id)
    return job.of, job.owner


def _maker(root: Path, job_id: str) -> tuple[Reach, str] | None:
    return _ordered(root, job_id) if (root / job_id).is_dir() else None


class EventLog:
    """The events of a job, in a file that one process appends to."""

    def __init__(self, job_id: str) -> None:
        self._file = TUNING_JOBS.folder(job_id) / "events.jsonl"

    def add(self, events: Iterable[TuningEvent]) -> None:
        """Append those that are new, by their id."""
        known = {event.id for event in self.read()}
        new = [event for event in events if event.id not in known]
        if not new:
            return
        with self._file.open("ab") as file:
            self._cut_half_a_line()
            for event in new:
                file.write(event.model_dump_json().encode() + b"\n")

    def read(self) -> list[TuningEvent]:
        """All of them, oldest first; a line that is still being written is left for later."""
        try:
            lines = self._file.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [TuningEvent.model_validate(json.loads(line)) for line in lines]

    def _cut_half_a_line(self) -> None:
        """What a killed process left."""
        written = self._file.read_bytes()
        os.truncate(self._file, written.rfind(b"\n") + 1)
