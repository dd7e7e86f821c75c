"""Jobs as a user sees them: those that wait on this machine and those that a cluster has, in one list.

In: a cluster. Out: `ListedJob`s; and the output of one, followed from the queue to its end.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from plait.errors import NotFound, Unavailable, did_you_mean, first_line
from plait.jobs.submission.cluster import Cluster
from plait.jobs.submission.queue import Queue, Ticket

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

_LOOK_EVERY_S = 0.5
ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "REFUSED")


@dataclass(frozen=True)
class ListedJob:
    """A job wherever it is.

    Attributes:
        state: WAITING or REFUSED in the queue here; on the cluster Ray's: PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED.
        about: lineage and command, by name.
    """

    id: str
    state: str
    reason: str = ""
    kind: str = ""
    recipe: str = ""
    user: str = ""
    since: str = ""
    took: str = ""
    about: dict[str, str] = field(default_factory=dict)

    @property
    def is_waiting(self) -> bool:
        return self.state == "WAITING"


def listed(cluster: Cluster) -> list[ListedJob]:
    """The queue in its order, then the cluster's jobs, newest first. Of other clusters' queued jobs none."""
    queue = Queue()
    waiting = [_of_ticket(t, i) for i, t in enumerate(queue.waiting(), start=1) if t.url == cluster.url]
    refused = [_of_ticket(t, 0) for t in queue.refused() if t.url == cluster.url]
    details = sorted(cluster.jobs.list_jobs(), key=lambda job: job.start_time or 0, reverse=True)
    return [*waiting, *refused, *(_of_details(job) for job in details if job.submission_id)]


def find(cluster: Cluster, job: str) -> ListedJob:
    """One job by its id.

    Raises:
        NotFound: when neither queue nor cluster has it.
    """
    jobs = listed(cluster)
    for found in jobs:
        if found.id == job:
            return found
    hint = did_you_mean(job, [each.id for each in jobs])
    raise NotFound(f"There is no job '{job}' at {cluster.url}.", hint or "plait jobs list shows those that there are.")


def follow(cluster: Cluster, job: str, tell: Callable[[str], None]) -> ListedJob:
    """Pass on what a job says until it has ended, from the queue on; returns it as it ended.

    Raises:
        NotFound: when there is no such job.
        Unavailable: when the cluster is lost meanwhile.
    """
    while (found := find(cluster, job)).is_waiting:
        time.sleep(_LOOK_EVERY_S)
    if found.state == "REFUSED":
        return found

    async def tail() -> None:
        async for text in cluster.jobs.tail_job_logs(job):
            tell(text)

    try:
        asyncio.run(tail())
    except (OSError, RuntimeError) as error:
        raise Unavailable(f"The output of {job} is cut off ({first_line(error)}).", "Follow it again.") from error
    while (found := find(cluster, job)).state not in ENDED:  # the last words come before the state
        time.sleep(_LOOK_EVERY_S)
    return found


def _of_ticket(ticket: Ticket, number: int) -> ListedJob:
    about = ticket.order.metadata
    return ListedJob(
        id=ticket.order.id,
        state="REFUSED" if ticket.error else "WAITING",
        reason=ticket.error or f"number {number} in the queue, priority {ticket.priority}",
        kind=ticket.order.kind,
        recipe=ticket.order.title,
        user=about.get("plait.user", ""),
        since=_clock(ticket.since),
        about={**_lineage(about), "command": ticket.order.entrypoint},
    )


def _of_details(job: "JobDetails") -> ListedJob:
    about = job.metadata or {}
    started = (job.start_time or 0) / 1000
    ended = (job.end_time or 0) / 1000
    took = (ended or time.time()) - started if started else None
    return ListedJob(
        id=job.submission_id or "",
        state=str(job.status.value),
        # Ray puts the last 20,000 characters of the output behind this.
        reason=(job.message or "").partition(", last available logs")[0] if job.status.is_terminal() else "",
        kind=about.get("plait.kind", ""),
        recipe=about.get("plait.recipe", ""),
        user=about.get("plait.user", ""),
        since=_clock(started) if started else "",
        took="" if took is None else f"{took:.0f} s",
        about={**_lineage(about), "command": job.entrypoint},
    )


def _lineage(metadata: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("plait."): value for name, value in metadata.items() if name.startswith("plait.")}


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
