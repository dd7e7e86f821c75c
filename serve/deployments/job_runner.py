"""The job runner deployment: carries what clients ordered, fine-tuning jobs and batches, from state to state.

Its state is on the disk, and what it starts are jobs of the cluster's own: a replica that was killed, or an application
that was deployed anew, goes on with what it finds. It computes nothing itself. The API adds orders and wakes it.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from filelock import FileLock, Timeout
from ray import serve

from plait.client_jobs.batches import BATCHES
from plait.client_jobs.tuning import TUNING_JOBS
from plait.documents.uploads import uploaded_files
from plait.errors import PlaitError, Unavailable
from plait.observability import tracing
from plait.serve.deployments.batch_runs import BatchRuns
from plait.serve.deployments.client_runs import ClientRuns
from plait.serve.deployments.expiry import Expiry
from plait.serve.deployments.ray_jobs import RayJobs
from plait.serve.deployments.tuning_runs import TuningRuns
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.request_log import log_expected_errors_in_one_line
from plait.settings import settings

_EVERY_S = 1.0
_log = logging.getLogger("ray.serve")


class JobRunner:
    """Looks after all jobs of clients, every second; one replica of it."""

    # Serve awaits it, and so it has the loop that its task runs in.
    async def __init__(self, arguments: AppArguments) -> None:  # type: ignore[misc]
        log_expected_errors_in_one_line()
        tracing.configure("job_runner")
        jobs, application = RayJobs(), serve.get_replica_context().app_name
        self._runs: list[ClientRuns[Any]] = []
        if arguments.fine_tuning.enabled:
            await asyncio.to_thread(TUNING_JOBS.tidy)
            self._runs.append(TuningRuns(arguments.fine_tuning, jobs))
        if arguments.batches.enabled:
            await asyncio.to_thread(BATCHES.tidy)
            self._runs.append(BatchRuns(arguments.batches, jobs, application))
        if arguments.retrieval is None:  # else the indexer does it, which knows where a file is in use
            self._expiry = Expiry(_no_collection, _delete_file)
            self._expiry.start()
        self._woken = asyncio.Event()
        self._looking = asyncio.create_task(self._look_forever())

    def is_ready(self) -> None:
        """Returns while jobs are looked after.

        Raises:
            Unavailable: when they are no longer.
        """
        if self._looking.done():
            raise Unavailable("Nobody looks after the jobs of clients.")

    check_health = is_ready

    # A plain method would run in a thread, and the event is the loop's.
    async def wake(self) -> None:
        """Look at once: something was ordered, or is to end."""
        self._woken.set()

    async def _look_forever(self) -> None:
        while True:
            self._woken.clear()
            for runs in self._runs:
                try:
                    await asyncio.to_thread(_look_alone, runs)
                except PlaitError as error:
                    _log.warning("jobs of clients are looked at again: %s", error)
                except Exception:  # whatever is wrong, jobs that run are followed again the next time
                    _log.exception("jobs of clients could not be looked at; trying again")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _EVERY_S)


def _look_alone(runs: ClientRuns[Any]) -> None:
    """While an application is deployed anew, there may be two replicas for a moment."""
    with suppress(Timeout), FileLock(settings().root / "client-jobs.lock", timeout=0):
        runs.look()


async def _no_collection(name: str) -> None:
    """There are none to delete."""


async def _delete_file(file_id: str) -> None:
    await asyncio.to_thread(uploaded_files.delete, file_id)
