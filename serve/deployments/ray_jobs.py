"""Ray's Jobs API of the cluster that this application runs on.

In: modules to run as jobs. Out: how they stand, and what they said. It knows no order of a client.
"""

import logging
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from plait.errors import Unavailable, first_line
from plait.settings import settings_variables

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

State = Literal["waiting", "running", "succeeded", "failed", "stopped", "unknown"]
_STATES: Mapping[str, State] = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "STOPPED": "stopped",
}
_SECRETS = ("_KEY", "_TOKEN")
"""Whoever may look at the cluster's dashboard reads the environment of its jobs."""
_STOP_WAIT_S = "100"
"""A stop is a SIGTERM, at which training saves a checkpoint; Ray kills what has not ended within this time."""
_SENTENCE = "plait: "


class RayJobs:
    """Raises `Unavailable` everywhere, when the Jobs API does not answer."""

    def __init__(self) -> None:
        self._client: JobSubmissionClient | None = None

    def submit(self, submission_id: str, module: Sequence[str], retries: int, metadata: Mapping[str, str]) -> None:
        """Run a module with its arguments as a job; one that was submitted before stays what it is.

        Args:
            submission_id: of the job.
            module: its name and its arguments.
            retries: how often it is started again when it fails in a way that may not come again.
            metadata: for Ray's own tools, and `plait jobs`.
        """
        command = shlex.join(["python", "-m", "plait.jobs.submission.attempts", str(retries), *module])
        ours = {name: value for name, value in settings_variables().items() if not name.endswith(_SECRETS)}
        try:
            self._jobs().submit_job(
                entrypoint=command,
                submission_id=submission_id,
                runtime_env={"env_vars": {**ours, "RAY_JOB_STOP_WAIT_TIME_S": _STOP_WAIT_S}},
                metadata=dict(metadata),
            )
        except (RuntimeError, ValueError, OSError) as error:
            # Whoever submitted it before may have been killed before it could note that.
            if self.state(submission_id) == "unknown":
                raise Unavailable(f"The cluster does not take the job ({first_line(error)}).") from error

    def state(self, submission_id: str) -> State:
        """How a job stands; `unknown`: the cluster has no such job, as one that was started anew."""
        try:
            return _STATES[self._jobs().get_job_status(submission_id).value]
        except RuntimeError as error:
            if "status code 404" in str(error):
                return "unknown"
            raise _no_answer(error) from error
        except OSError as error:
            raise _no_answer(error) from error

    def last_sentence(self, submission_id: str) -> str:
        """The last sentence of Plait's that a job said; empty where there is none."""
        try:
            said = self._jobs().get_job_logs(submission_id)
        except (RuntimeError, OSError) as error:
            raise _no_answer(error) from error
        sentences = [line.removeprefix(_SENTENCE) for line in said.splitlines() if line.startswith(_SENTENCE)]
        return sentences[-1] if sentences else ""

    def stop(self, submission_id: str) -> None:
        """Have a job end; it may take some seconds to."""
        try:
            self._jobs().stop_job(submission_id)
        except (RuntimeError, OSError) as error:
            raise _no_answer(error) from error

    def _jobs(self) -> "JobSubmissionClient":
        if self._client is None:
            import ray
            from ray.job_submission import JobSubmissionClient

            logging.getLogger("ray.dashboard").setLevel(logging.WARNING)
            try:
                self._client = JobSubmissionClient(ray.get_runtime_context().gcs_address)
            except (RuntimeError, ValueError, OSError) as error:
                raise _no_answer(error) from error
        return self._client


def _no_answer(error: Exception) -> Unavailable:
    return Unavailable(f"Ray's Jobs API does not answer ({first_line(error)}).", "It is asked again in a moment.")
