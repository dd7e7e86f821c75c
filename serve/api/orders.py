"""What the routes of fine-tuning jobs and of batches share: an order is noted, and the job runner is woken.

In: a job as it is ordered, and who orders it. Out: the job, kept. What it means is for the routes of its kind.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Annotated, TypeVar

from fastapi import Depends

from plait.client_jobs.folders import ClientJob, JobFolders
from plait.documents.uploads import uploaded_files
from plait.documents.uploads.uploaded_files import UploadedFile
from plait.errors import Conflict, InvalidField, NotFound, Overloaded
from plait.serve.api.caller import Caller, caller
from plait.serve.api.services import Deployments, deployments

J = TypeVar("J", bound=ClientJob)
_RETRY_AFTER_S = 30.0
_log = logging.getLogger("ray.serve")


class Orders:
    """Jobs as one caller may order them, see them and end them. A job that is not within reach is not there."""

    def __init__(self, there: Deployments, caller: Caller) -> None:
        self.arguments, self.caller = there.arguments, caller
        self._runner = there.runner

    def file(self, file_id: str, purpose: str, field: str) -> UploadedFile:
        """A file that an order names.

        Raises:
            NotFound: when there is none within reach.
            InvalidField: when it was sent for something else.
        """
        found = uploaded_files.file(file_id, self.caller.reach)
        if found.purpose != purpose:
            raise InvalidField(
                f"The file '{file_id}' was sent with the purpose '{found.purpose}'.",
                f"Send it with the purpose {purpose}.",
                field,
            )
        return found

    async def place(self, jobs: JobFolders[J], job: J, most: int, files: Mapping[str, str] | None = None) -> J:
        """Keep an order, with files beside its state.

        Raises:
            Overloaded: when `most` of this caller's jobs are under way already.
            InsufficientStorage: when the disk is full.
        """
        all_jobs = await asyncio.to_thread(jobs.jobs, self.caller.reach)
        if sum(each.owner == job.owner and not each.has_ended for each in all_jobs) >= most:
            raise Overloaded(
                f"{most} {jobs.what}s of this key are under way already.",
                "Wait for one of them, or cancel one.",
                retry_after_s=_RETRY_AFTER_S,
            )
        await asyncio.to_thread(jobs.add, job, files or {})
        await self._wake()
        return job

    async def end(self, jobs: JobFolders[J], job_id: str) -> J:
        """Have a job end before it is done; what it has done stays.

        Raises:
            NotFound: when there is none.
            Conflict: when it has ended already.
        """
        job = jobs.find(job_id, self.caller.reach)
        if job.has_ended:
            raise Conflict(f"The {jobs.what} '{job_id}' has ended already.")
        jobs.ask_to_end(job_id)
        await self._wake()
        return jobs.find(job_id)

    async def _wake(self) -> None:
        if self._runner is None:
            return
        try:
            await self._runner.wake.remote()
        except Exception as error:  # it looks by itself as soon as it is there again
            _log.warning("the job runner was not woken: %s", error)


async def orders(
    there: Annotated[Deployments, Depends(deployments)], asking: Annotated[Caller, Depends(caller)]
) -> Orders:
    """Jobs, as who asks may order them."""
    return Orders(there, asking)


async def trains(there: Annotated[Deployments, Depends(deployments)]) -> None:
    """Refuse what asks to train where nobody may.

    Raises:
        NotFound: then.
    """
    if not there.arguments.fine_tuning.enabled:
        raise NotFound("This application does not train.", "Let it: set fine_tuning.enabled=true.")


async def runs_batches(there: Annotated[Deployments, Depends(deployments)]) -> None:
    """Refuse batches where nobody may order one.

    Raises:
        NotFound: then.
    """
    if not there.arguments.batches.enabled:
        raise NotFound("This application runs no batches.", "Let it: set batches.enabled=true.")
