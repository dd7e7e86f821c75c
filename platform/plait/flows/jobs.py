"""Jobs on any Ray cluster: submit one, list them, follow one, stop one. What `plait jobs` does, and a console can.

In: what a user gives to the command of a job, and where it shall run. Out: where it stands. It prints nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from plait.errors import InvalidInput, PlaitError, did_you_mean
from plait.interruption import explained
from plait.jobs.evaluate.command import understand as understand_evaluation
from plait.jobs.ingest.command import understand
from plait.jobs.submission import listing
from plait.jobs.submission.cluster import Cluster
from plait.jobs.submission.order import RECIPES, Kind, make_order, read_recipe
from plait.jobs.submission.place import Conditions, place
from plait.jobs.submission.queue import Queue
from plait.jobs.submission.submit import job_environment
from plait.local.job_queue import ensure_job_queue


@dataclass(frozen=True)
class JobRequest:
    """A job as a user asks for it.

    Attributes:
        kind: ingest, train, evaluate or compare.
        arguments: as for the command of that name: recipe, sources or data, models, and fields to set.
        gpus: train on so many, one a worker.
        retries: start it again so often when it fails.
        variables: of the job's environment.
        url: evaluate, compare: the server, as the cluster sees it.
        out: evaluate, compare: the folder of what is found, on the cluster.
    """

    kind: str
    arguments: Sequence[str]
    gpus: int | None = None
    retries: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    out: str | None = None


@dataclass(frozen=True)
class Submitted:
    """A job that a cluster has, or that waits here; `number`: its place in the queue, None on the cluster."""

    id: str
    cluster: Cluster
    number: int | None


def submit(wanted: JobRequest, address: str | None, conditions: Conditions) -> Submitted:
    """Check a job, ship what it needs, and submit it or let it wait.

    Raises:
        PlaitError: one of its kinds for whatever keeps the job from running; then nothing has started.
    """
    kind = _kind(wanted.kind)
    recipe, overrides = _recipe_and_overrides(kind, wanted.arguments)
    options = [f"--{name}={value}" for name, value in (("url", wanted.url), ("out", wanted.out)) if value is not None]
    if options and kind not in ("evaluate", "compare"):
        raise InvalidInput(f"{options[0].partition('=')[0]} goes with evaluate and compare, not with {kind}.")
    checked = read_recipe(kind, recipe, overrides, wanted.gpus)
    cluster = Cluster.find(address)
    order = make_order(kind, checked, options, wanted.retries, job_environment(cluster, wanted.variables))
    placed, number = place(order, cluster, conditions, ensure_job_queue)
    return Submitted(placed.id, cluster, number)


def listed(address: str | None) -> list[listing.ListedJob]:
    """The jobs that wait here and those that the cluster has."""
    if Queue().waiting():
        ensure_job_queue()  # it may have been ended, with the machine or by plait stop
    return listing.listed(Cluster.find(address))


def said(job: str, address: str | None) -> str | None:
    """What a job has said so far; None: it waits for room.

    Raises:
        NotFound: when there is no such job.
    """
    cluster = Cluster.find(address)
    if listing.find(cluster, job).is_waiting:
        return None
    text: str = cluster.jobs.get_job_logs(job)
    return text


def follow(job: str, address: str | None, tell: Callable[[str], None]) -> None:
    """Pass on what a job says until it has ended.

    Raises:
        PlaitError: when it does not end well.
    """
    cluster = Cluster.find(address)
    with explained(f"{job} goes on.", f"Follow it again: plait jobs logs {job} -f, or end it: plait jobs stop {job}"):
        ended = listing.follow(cluster, job, tell)
    if ended.state != "SUCCEEDED":
        raise PlaitError(f"{job} ended as {ended.state} ({ended.reason or 'no reason given'}).")


def stop(job: str, address: str | None) -> Literal["waited", "ran", "had ended"]:
    """Stop a job, or take it out of the queue; says how it stood.

    Raises:
        NotFound: when there is no such job.
    """
    queue = Queue()
    with queue.locked():
        if queue.remove(job):
            return "waited"
    cluster = Cluster.find(address)
    listing.find(cluster, job)
    return "ran" if cluster.jobs.stop_job(job) else "had ended"


def _kind(given: str) -> Kind:
    for kind in RECIPES:
        if kind == given:
            return kind
    raise InvalidInput(f"There is no job '{given}'.", did_you_mean(given, list(RECIPES)))


def _recipe_and_overrides(kind: Kind, arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The arguments of the local command as a recipe and fields to set."""
    if kind == "ingest":
        return understand(list(arguments))
    if kind == "evaluate":
        return understand_evaluation(arguments)
    return arguments[0], list(arguments[1:])
