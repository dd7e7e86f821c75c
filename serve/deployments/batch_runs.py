"""Batches from state to state: checked, answered by a job of the cluster, and at last written into files.

In: batches as they stand on the disk, how their jobs stand. Out: the same, a step further.
"""

import time
from dataclasses import dataclass

from plait.client_jobs.batch_results import with_results
from plait.client_jobs.batches import BATCHES, Batch, BatchError, Status, check_requests
from plait.errors import NotFound
from plait.observability import metrics
from plait.serve.deployments.client_runs import ClientRuns
from plait.serve.deployments.ray_jobs import RayJobs
from plait.serve.messages.job_arguments import BatchArguments

_RETRIES = 2
_MOST_STUCK = 3


@dataclass
class _Progress:
    """How far the answers of a batch were counted: the byte after the last one, and what there was before."""

    at: int = 0
    good: int = 0
    bad: int = 0


class BatchRuns(ClientRuns[Batch]):
    """All batches.

    Args:
        arguments: how many may be answered at a time, and how.
        jobs: of the cluster.
        application: the name of the application that answers.
    """

    def __init__(self, arguments: BatchArguments, jobs: RayJobs, application: str) -> None:
        super().__init__(BATCHES, arguments.running)
        self._arguments, self._jobs, self._application = arguments, jobs, application
        self._progress: dict[str, _Progress] = {}

    def next(self, job: Batch, may_start: bool) -> Batch:
        batch, submission_id, now = job, job.submission_id, int(time.time())
        if batch.status == "finalizing":
            return self._finished(batch, now)
        if batch.status == "validating":
            return _checked(batch, self._arguments.max_requests, now)
        batch = self._counted(batch)
        is_to_end = BATCHES.to_end_since(batch.id) is not None or now >= batch.expires_at
        if submission_id is None:
            if is_to_end or batch.completed + batch.failed >= batch.total:
                return _finalizing(batch, now)
            return self._started(batch) if may_start else batch
        state = self._jobs.state(submission_id)
        if state in ("waiting", "running"):
            if is_to_end:
                self._jobs.stop(submission_id)
            return batch
        batch = self._counted(batch)  # what came between the count and the end
        if is_to_end or state == "stopped" or batch.completed + batch.failed >= batch.total:
            if state == "stopped" and not is_to_end:
                BATCHES.ask_to_end(batch.id)  # somebody has stopped its job by other means
            return _finalizing(batch, now)
        said = self._jobs.last_sentence(submission_id) if state == "failed" else ""
        return _to_be_started_again(batch, said, now)

    def close(self, job: Batch) -> None:
        """What was answered stands in the batch's files by now."""
        job.answers.forget()

    def _started(self, batch: Batch) -> Batch:
        submission_id = f"{batch.id}-{batch.submissions + 1}"
        module = ["plait.jobs.batches", batch.id, self._application, f"--at-once={self._arguments.at_once}"]
        metadata = {"plait.kind": "batch", "plait.recipe": batch.id}
        self._jobs.submit(submission_id, module, _RETRIES, metadata)
        return batch.model_copy(update={"submission_id": submission_id, "submissions": batch.submissions + 1})

    def _counted(self, batch: Batch) -> Batch:
        seen = self._progress.setdefault(batch.id, _Progress())
        good, bad, seen.at = batch.answers.count(seen.at)
        seen.good, seen.bad = seen.good + good, seen.bad + bad
        return batch.model_copy(update={"completed": seen.good, "failed": seen.bad})

    def _finished(self, batch: Batch, now: int) -> Batch:
        status, at = _end_of(batch, now)
        done = with_results(batch.model_copy(update={"status": status, at: now}))
        self._progress.pop(batch.id, None)
        metrics.BATCH_REQUESTS.labels("completed").inc(done.completed)
        metrics.BATCH_REQUESTS.labels("failed").inc(done.failed)
        return done


def _checked(batch: Batch, max_requests: int, now: int) -> Batch:
    if BATCHES.to_end_since(batch.id) is not None:
        return _finalizing(batch, now)
    try:
        found = check_requests(batch.input_file, batch.endpoint, max_requests)
    except (NotFound, OSError):
        gone = BatchError(code="invalid_file", message=f"The file '{batch.input_file_id}' is no longer there.")
        return batch.model_copy(update={"status": "failed", "failed_at": now, "errors": (gone,)})
    if found.errors:
        return batch.model_copy(update={"status": "failed", "failed_at": now, "errors": found.errors})
    update = {"status": "in_progress", "in_progress_at": now, "total": found.total, "model": found.model}
    return batch.model_copy(update=update)


def _to_be_started_again(batch: Batch, said: str, now: int) -> Batch:
    """Its job failed, or the cluster was started anew; what answers nothing time and again has failed."""
    answered = batch.completed + batch.failed
    stuck = 0 if answered > batch.answered_before else batch.stuck + 1
    again = batch.model_copy(update={"submission_id": None, "stuck": stuck, "answered_before": answered})
    if stuck < _MOST_STUCK:
        return again
    why = said or "Its job fails; the cluster's log of it says why."
    return _finalizing(again.model_copy(update={"errors": (BatchError(code="job_failed", message=why),)}), now)


def _finalizing(batch: Batch, now: int) -> Batch:
    update = {"status": "finalizing", "finalizing_at": now, "submission_id": None}
    return batch.model_copy(update=update)


def _end_of(batch: Batch, now: int) -> tuple[Status, str]:
    """The status that a batch ends with, and the field that says since when."""
    if batch.errors:
        return "failed", "failed_at"
    if batch.total and batch.completed + batch.failed >= batch.total:
        return "completed", "completed_at"
    if BATCHES.to_end_since(batch.id) is not None:
        return "cancelled", "cancelled_at"
    return "expired", "expired_at"
