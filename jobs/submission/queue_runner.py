"""`python -m plait.jobs.submission.queue_runner ADDRESS`: sends waiting jobs to their clusters when these have room.

Started by `plait jobs submit --queue`, found by `plait status`, ended by `plait stop`; the queue itself is on disk. The
first of a cluster's line goes first: a small job never overtakes a large one, so a large one is never starved.
"""

import socket
import sys
import time
from collections.abc import Callable

from plait.errors import PlaitError, Unauthorized, Unavailable
from plait.jobs.submission.cluster import Cluster
from plait.jobs.submission.queue import Queue, Ticket
from plait.jobs.submission.room import has_room, held_by_our_jobs
from plait.jobs.submission.submit import submit

_LOOK_EVERY_S = 1.0


def cluster_has_room(ticket: Ticket) -> bool:
    """Ask the ticket's cluster."""
    cluster = _cluster(ticket)
    return has_room(ticket.order.demand, cluster.nodes(), cluster.in_use(), held_by_our_jobs(cluster))


def send(queue: Queue, ticket: Ticket) -> None:
    """Submit a waiting job."""
    submit(_cluster(ticket), ticket.order, ticket.runtime_env, queue.shipment(ticket.order.id))


def drain(
    queue: Queue,
    has_room: Callable[[Ticket], bool] = cluster_has_room,
    send: Callable[[Queue, Ticket], None] = send,
) -> list[str]:
    """Send what there is room for; returns the ids of the jobs that went.

    A cluster that does not answer keeps its jobs waiting; a job that cannot be sent is kept with the reason.
    """
    went: list[str] = []
    closed: set[str] = set()
    while ready := [ticket for ticket in queue.waiting() if ticket.url not in closed]:
        ticket = ready[0]
        try:
            if not has_room(ticket):
                closed.add(ticket.url)
                continue
            with queue.locked():
                if ticket not in queue.waiting():  # stopped meanwhile
                    continue
                send(queue, ticket)
                queue.remove(ticket.order.id)
            went.append(ticket.order.id)
        except (Unavailable, Unauthorized) as error:
            print(f"{ticket.order.id} waits: {error}", flush=True)
            closed.add(ticket.url)
        except PlaitError as error:
            queue.refuse(ticket, str(error))
    return went


def _cluster(ticket: Ticket) -> Cluster:
    return Cluster(ticket.url, ticket.token, ticket.is_local)


def main(address: str) -> None:
    """Drain for ever; listening at the address is how others see that this runs."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))):
        queue = Queue()
        while True:
            for job in drain(queue):
                print(f"sent {job}", flush=True)
            time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    main(sys.argv[1])
