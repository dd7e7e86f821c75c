"""Fine-tuning jobs from state to state: files looked at, trained by a job of the cluster, and then served.

In: jobs as they stand on the disk, how their Ray jobs stand, what training says. Out: the same, a step further, and
events. The rows themselves are checked by training, before its first step.
"""

import json
import re
import shutil
import time
from glob import escape
from pathlib import Path

from plait.client_jobs.tuning import RECIPE_FILE, TUNING_JOBS, EventLog, Failure, TuningJob
from plait.documents.row_files import BadRow
from plait.documents.row_source import find_rows
from plait.documents.uploads import uploaded_files
from plait.errors import DataError, NotFound
from plait.observability import metrics
from plait.serve.deployments.client_runs import ClientRuns
from plait.serve.deployments.ray_jobs import RayJobs
from plait.serve.deployments.tuning_story import done, event, progress_of
from plait.serve.messages.job_arguments import FineTuningArguments
from plait.settings import settings

_MOST_SUBMISSIONS = 5


class TuningRuns(ClientRuns[TuningJob]):
    """All fine-tuning jobs.

    Args:
        arguments: how many may train at a time, and how often one is started again.
        jobs: of the cluster.
    """

    def __init__(self, arguments: FineTuningArguments, jobs: RayJobs) -> None:
        super().__init__(TUNING_JOBS, arguments.at_once)
        self._arguments, self._jobs = arguments, jobs

    def next(self, job: TuningJob, may_start: bool) -> TuningJob:
        is_to_end = TUNING_JOBS.to_end_since(job.id) is not None
        if job.submission_id is None:
            if is_to_end:
                return _cancelled(job)
            if job.status == "validating_files":
                return _validated(job)
            return self._started(job) if may_start else job
        state = self._jobs.state(job.submission_id)
        if state in ("waiting", "running"):
            if is_to_end:
                self._jobs.stop(job.submission_id)
                return job
            return _running(job) if state == "running" else job
        if state == "succeeded":
            ended = done(job)
            metrics.TUNING_JOBS.labels("succeeded").inc()
            return ended
        if is_to_end or state == "stopped":
            return _cancelled(job)
        if state == "unknown" and job.submissions < _MOST_SUBMISSIONS:  # the cluster was started anew
            return job.model_copy(update={"submission_id": None, "status": "queued"})
        said = self._jobs.last_sentence(job.submission_id) if state == "failed" else "The cluster has lost the job."
        EventLog(job.id).add(progress_of(job))
        return _failed(job, said)

    def _started(self, job: TuningJob) -> TuningJob:
        submission_id = f"{job.id}-{job.submissions + 1}"
        module = ["plait.jobs.train", str(TUNING_JOBS.folder(job.id) / RECIPE_FILE)]
        metadata = {"plait.kind": "train", "plait.recipe": job.name}
        self._jobs.submit(submission_id, module, self._arguments.retries, metadata)
        return job.model_copy(update={"submission_id": submission_id, "submissions": job.submissions + 1})


def _validated(job: TuningJob) -> TuningJob:
    """Whether the files hold rows; what a row of this method must be, training says."""
    EventLog(job.id).add([event(job, "validating", f"Validating the file {job.training_file}.")])
    for param, file_id in (("training_file", job.training_file), ("validation_file", job.validation_file)):
        if file_id is not None and (fault := _fault_of(file_id)) is not None:
            return _failed(job, fault, Failure(code="invalid_file", message=fault, param=param))
    EventLog(job.id).add([event(job, "queued", "The files can be read; the job is queued.")])
    return job.model_copy(update={"status": "queued"})


def _fault_of(file_id: str) -> str | None:
    try:
        file = uploaded_files.file(file_id)
        source = find_rows(escape(str(file.path)))
        for part in source.parts:
            for row in source.rows(part):
                try:
                    row.values()
                except BadRow as error:
                    return f"Line {row.line} of {file.filename} {error}."
    except NotFound:
        return f"The file '{file_id}' is no longer there."
    except DataError as error:
        return _without_folders(str(error))
    return None


def _running(job: TuningJob) -> TuningJob:
    EventLog(job.id).add([event(job, "started", "The job has started."), *progress_of(job)])
    return job.model_copy(update={"status": "running"})


def _failed(job: TuningJob, said: str, failure: Failure | None = None) -> TuningJob:
    failure = failure or _bad_rows(job)
    if failure is None:
        message = _without_folders(said) or "Training failed; the cluster's log of its job says why."
        failure = Failure(code="training_failed", message=message)
    EventLog(job.id).add([event(job, "failed", failure.message, "error")])
    _drop_checkpoints(job)
    metrics.TUNING_JOBS.labels("failed").inc()
    return job.model_copy(update={"status": "failed", "error": failure, "finished_at": int(time.time())})


def _bad_rows(job: TuningJob) -> Failure | None:
    """What training has left out, and failed for: it keeps such rows with their reasons beside the run."""
    for data, param in (("train", "training_file"), ("eval", "validation_file")):
        for file in settings().runs_dir.glob(f"{job.name}-*.{data}.left-out.jsonl"):
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            first = rows[0]
            more = f"; {len(rows) - 1} more cannot be used either" if rows[1:] else ""
            message = f"Line {first['line']} of {Path(first['file']).name} {first['reason']}{more}."
            return Failure(code="invalid_file", message=message, param=param)
    return None


def _cancelled(job: TuningJob) -> TuningJob:
    EventLog(job.id).add([*progress_of(job), event(job, "cancelled", "The job was cancelled.")])
    _drop_checkpoints(job)
    metrics.TUNING_JOBS.labels("cancelled").inc()
    return job.model_copy(update={"status": "cancelled", "finished_at": int(time.time())})


def _drop_checkpoints(job: TuningJob) -> None:
    """Nobody runs the same recipe again: what a run keeps for that would stay for ever."""
    for left in settings().runs_dir.glob(f"{job.name}-*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _without_folders(sentence: str) -> str:
    """A sentence about an uploaded file, without where the server keeps it."""
    return re.sub(rf"{re.escape(str(settings().root))}/uploads/file-[0-9a-f]+/", "", sentence)
