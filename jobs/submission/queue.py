"""Jobs that wait on this machine until their cluster has room: highest priority first, then first come, first served.

The state is files: `PLAIT_HOME/queue/<id>/` holds a job's order and what will be shipped with it, so a queue survives
whoever filled it. It is bounded, and it knows nothing of clusters.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from plait.errors import Overloaded
from plait.jobs.submission.order import JobOrder
from plait.settings import settings
from plait.validation import why_unreadable
from plait.whole_files import write_whole

_log = logging.getLogger(__name__)
_TICKET = "ticket.json"


class Ticket(BaseModel):
    """A place in the queue.

    Attributes:
        priority: higher goes first.
        since: seconds since 1970.
        url, token, is_local: the cluster it waits for.
        runtime_env: Ray's, without the folder that is shipped.
        error: why the cluster did not take it, if it did not: it waits no longer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: JobOrder
    priority: int
    since: float
    url: str
    token: str
    is_local: bool
    runtime_env: dict[str, Any]
    error: str = ""


class Queue:
    """The queue of this PLAIT_HOME.

    Args:
        folder: where it lies; its owner only may look into it, since tickets hold tokens.
        limit: most jobs that wait.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder = folder or settings().root / "queue"
        self.limit = settings().queue_limit if limit is None else limit
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def shipment(self, job: str) -> Path:
        """Where the files of a job lie."""
        return self.folder / job / "files"

    def put(self, ticket: Ticket, shipment: Path) -> int:
        """Let a job wait, with a copy of what is shipped with it; returns its place in the line, from 1.

        Raises:
            Overloaded: when the queue is full.
        """
        with self.locked():
            waiting = self.waiting()
            if len(waiting) >= self.limit:
                raise Overloaded(
                    f"The queue is full: {len(waiting)} jobs wait.",
                    "Wait, stop one (plait jobs stop ID), or raise PLAIT_QUEUE_LIMIT.",
                )
            shutil.copytree(shipment, self.shipment(ticket.order.id))
            self._write(ticket)  # last: a job without all of its files never goes
            return [each.order.id for each in self.waiting()].index(ticket.order.id) + 1

    def waiting(self) -> list[Ticket]:
        """Those that wait, in the order in which they will go."""
        return in_order([ticket for ticket in self._tickets() if not ticket.error])

    def refused(self) -> list[Ticket]:
        """Those that their cluster would not take."""
        return [ticket for ticket in self._tickets() if ticket.error]

    def refuse(self, ticket: Ticket, error: str) -> None:
        """Keep a ticket with the reason why it will not go."""
        self._write(ticket.model_copy(update={"error": error}))

    def remove(self, job: str) -> bool:
        """Take a job out, with its files; returns whether it was there."""
        folder = self.folder / job
        if not (folder / _TICKET).is_file():
            return False
        (folder / _TICKET).unlink()  # first: without it there is no ticket, whatever happens to the rest
        shutil.rmtree(folder, ignore_errors=True)
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the queue."""
        with FileLock(self.folder / "lock"):
            yield

    def _tickets(self) -> list[Ticket]:
        found = []
        for file in self.folder.glob(f"*/{_TICKET}"):
            try:
                found.append(Ticket.model_validate_json(file.read_text(encoding="utf-8")))
            except FileNotFoundError:  # taken out meanwhile
                continue
            except (OSError, ValueError) as error:
                why = why_unreadable(error)
                _log.warning("queued job '%s' cannot be read (%s); end it: plait jobs stop", file.parent.name, why)
        return found

    def _write(self, ticket: Ticket) -> None:
        folder = self.folder / ticket.order.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / _TICKET, ticket.model_dump_json())


def in_order(tickets: Sequence[Ticket]) -> list[Ticket]:
    """Highest priority first; of equals, whoever came first."""
    return sorted(tickets, key=lambda ticket: (-ticket.priority, ticket.since, ticket.order.id))
