"""Place an order: check it, ship it, and submit it or let it wait. One place for what `plait jobs submit` does.

In: an order and a cluster. Out: where it stands. Nothing has started when this raises.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.jobs.submission.cluster import Cluster
from plait.jobs.submission.order import JobOrder
from plait.jobs.submission.preflight import check_data, check_resources, live_nodes, probe
from plait.jobs.submission.queue import Queue, Ticket
from plait.jobs.submission.shipping import paths_on_cluster, ship
from plait.jobs.submission.submit import runtime_environment, submit


@dataclass(frozen=True)
class Conditions:
    """How a job shall be placed.

    Attributes:
        on_cluster: paths below these are the cluster's own.
        wheel: Plait itself, for a cluster whose image lacks it.
        look: whether to look at the cluster's resources, and from inside, before anything starts.
        priority: let it wait in the local queue, higher first; None: submit it now.
    """

    on_cluster: Sequence[str] = ()
    wheel: Path | None = None
    look: bool = True
    priority: int | None = None


def place(
    order: JobOrder, cluster: Cluster, conditions: Conditions, ensure_runner: Callable[[], None]
) -> tuple[JobOrder, int | None]:
    """Check, ship, and submit or queue a job; returns it as it went, and its place in the queue.

    Raises:
        PlaitError: one of its kinds for whatever keeps the job from running.
    """
    environment = runtime_environment(order.environment, conditions.wheel)
    with tempfile.TemporaryDirectory(prefix="plait-job-") as made:
        folder = Path(made)
        order = ship(order, folder, conditions.on_cluster, cluster.is_local)
        check_data(order, folder, conditions.on_cluster)
        if conditions.look:
            _look(order, cluster, conditions, environment)
        if conditions.priority is None:
            submit(cluster, order, environment, folder)
            return order, None
        ticket = Ticket(
            order=order,
            priority=conditions.priority,
            since=time.time(),
            url=cluster.url,
            token=cluster.token,
            is_local=cluster.is_local,
            runtime_env=environment,
        )
        number = Queue().put(ticket, folder)
    ensure_runner()
    return order, number


def _look(order: JobOrder, cluster: Cluster, conditions: Conditions, environment: dict[str, Any]) -> None:
    nodes = live_nodes(cluster)
    if cluster.is_local:
        check_resources(order.demand, nodes)
        return
    paths = paths_on_cluster(order, conditions.on_cluster)
    check_resources(order.demand, nodes, probe(cluster, environment, paths))
