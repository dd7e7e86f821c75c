"""What the runs of all jobs of clients have in common: each is carried on, and owners take turns.

In: jobs as they stand on the disk. Out: the same, a step further each. What a step is, the kind of job knows. Next
comes the owner with the fewest that run, and of several the one whose last start is the longest ago.
"""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from typing import Generic, TypeVar

from plait.client_jobs.folders import ClientJob, JobFolders
from plait.errors import PlaitError

J = TypeVar("J", bound=ClientJob)
_log = logging.getLogger("ray.serve")


class ClientRuns(ABC, Generic[J]):
    """All jobs of one kind.

    Args:
        folders: where they are kept.
        at_once: how many may run at a time.
    """

    def __init__(self, folders: JobFolders[J], at_once: int) -> None:
        self._folders, self._at_once = folders, at_once
        self._ended: set[str] = set()
        self._starts = 0
        self._last_start: dict[str, int] = {}

    def look(self) -> None:
        """Carry each job as far as it is now; one that cannot be carried on does not hold up the others."""
        ids = [job_id for job_id in self._folders.ids() if job_id not in self._ended]
        found = [job for job_id in ids if (job := self._folders.read(job_id)) is not None]
        for job in found:
            if job.has_ended:
                self.close(job)
                self._ended.add(job.id)
        under_way = [job for job in found if not job.has_ended]
        running = Counter(job.owner for job in under_way if job.submission_id is not None)

        def turn(job: J) -> tuple[int, int, int, int]:
            return running[job.owner], self._last_start.get(job.owner, 0), job.created_at, job.ordered_ns

        for job in sorted(under_way, key=turn):
            try:
                after = self.next(job, may_start=running.total() < self._at_once)
            except PlaitError as error:
                _log.warning("the %s %s is looked at again: %s", self._folders.what, job.id, error)
                continue
            except Exception:  # a fault of ours, or a broken disk
                _log.exception("the %s %s could not be looked at; trying again", self._folders.what, job.id)
                continue
            if after != job:
                self._folders.write(after)
            if after.submission_id is not None and job.submission_id is None:
                running[job.owner] += 1
                self._starts += 1
                self._last_start[job.owner] = self._starts

    def close(self, job: J) -> None:
        """Called for a job that has ended, and again after a restart."""

    @abstractmethod
    def next(self, job: J, may_start: bool) -> J:
        """A job a step further, or as it is. `may_start`: whether a Ray job may be submitted for it."""
