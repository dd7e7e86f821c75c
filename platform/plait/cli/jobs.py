"""`plait jobs`: jobs on any Ray cluster, through its Jobs API."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from plait.jobs.submission.cluster import Cluster
    from plait.jobs.submission.order import Kind

app = typer.Typer(help="Jobs on any Ray cluster: submit, list, follow, stop.", no_args_is_help=True)

_ADDRESS = typer.Option(
    None, help="The cluster's dashboard (http://HOST:8265); default: RAY_API_SERVER_ADDRESS, else the local head."
)


@app.command("submit")
def submit(
    kind: str = typer.Argument(help="ingest, train, evaluate or compare."),
    arguments: list[str] = typer.Argument(
        help="As for the command of that name: recipe, sources or data, models, and fields to set."
    ),
    address: str = _ADDRESS,
    num_gpus: int = typer.Option(None, min=1, help="Train on so many GPUs, one a worker."),
    retries: int = typer.Option(0, min=0, max=20, help="Start it again so often when it fails; training resumes."),
    queue: bool = typer.Option(False, "--queue", help="Let it wait on this machine until the cluster has room."),
    priority: int = typer.Option(0, help="With --queue: higher goes first."),
    on_cluster: list[str] = typer.Option(
        [], help="Paths below this are the cluster's own: not looked for here, not shipped. May be repeated."
    ),
    env: list[str] = typer.Option([], help="A variable of the job, NAME=VALUE. May be repeated."),
    wheel: Path = typer.Option(None, help="Plait's wheel, for a cluster whose image lacks it."),
    url: str = typer.Option(None, help="evaluate, compare: the server, as the cluster sees it."),
    report: str = typer.Option(None, help="evaluate, compare: where to write the report, on the cluster."),
    check: bool = typer.Option(True, help="Look at the cluster's nodes and image before anything starts."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Show its output until it has ended."),
) -> None:
    """Submit a job; whatever keeps it from running is said before anything starts.

    The recipe, with all fields set, and its data that lie on this machine are shipped; buckets and hub ids are not.

    Example: `plait jobs submit train qlora name=support data.train=train.jsonl --address http://head:8265 --num-gpus 4`
    """
    from plait.errors import InvalidInput
    from plait.jobs.submission.cluster import Cluster
    from plait.jobs.submission.order import make_order, read_recipe
    from plait.jobs.submission.place import Conditions, place
    from plait.jobs.submission.submit import job_environment
    from plait.local.job_queue import ensure_job_queue

    if priority and not queue:
        raise InvalidInput("--priority goes with --queue.", "A cluster runs what it is given at once.")
    known = _kind(kind)
    recipe, overrides = _recipe_and_overrides(known, arguments)
    options = _options(known, url, report)
    checked = read_recipe(known, recipe, overrides, num_gpus)
    variables = _variables(env)
    cluster = Cluster.find(address)
    order = make_order(known, checked, options, retries, job_environment(cluster, variables))
    conditions = Conditions(on_cluster, wheel, check, priority if queue else None)
    placed, number = place(order, cluster, conditions, ensure_job_queue)
    where = "" if address is None else f" --address {address}"
    if number is not None:
        print(f"{placed.id} waits for room, number {number} in the queue", flush=True)
    else:
        print(f"{placed.id} is submitted to {cluster.url}", flush=True)
    print(f"follow it: plait jobs logs {placed.id} -f{where}", flush=True)
    if follow:
        _follow(cluster, placed.id)


@app.command("list")
def list_jobs(address: str = _ADDRESS) -> None:
    """List the jobs that wait here and those that the cluster has.

    Example: `plait jobs list --address http://head:8265`
    """
    from rich.console import Console
    from rich.table import Column, Table

    from plait.jobs.submission.cluster import Cluster
    from plait.jobs.submission.listing import listed
    from plait.jobs.submission.queue import Queue
    from plait.local.job_queue import ensure_job_queue

    if Queue().waiting():
        ensure_job_queue()  # it may have been ended, with the machine or by plait stop
    jobs = listed(Cluster.find(address))
    if not jobs:
        print("No jobs. Submit one: plait jobs submit train qlora name=my-adapter data.train=train.jsonl")
        return
    table = Table(Column("job", no_wrap=True), "recipe", "state", "user", "since", "took")
    for job in jobs:
        table.add_row(job.id, f"{job.kind} {job.recipe}".strip(), job.state, job.user, job.since, job.took)
    Console().print(table)


@app.command("status")
def status(job: str = typer.Argument(help="Its id."), address: str = _ADDRESS) -> None:
    """Show how a job stands, what it runs, and where it came from.

    Example: `plait jobs status train-support-1a2b3c`
    """
    from plait.jobs.submission.cluster import Cluster
    from plait.jobs.submission.listing import find

    found = find(Cluster.find(address), job)
    print(f"{found.id}: {found.state}" + (f", {found.reason}" if found.reason else ""))
    for name, value in found.about.items():
        print(f"{name}: {value}")


@app.command("logs")
def logs(
    job: str = typer.Argument(help="Its id."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on until it has ended."),
    address: str = _ADDRESS,
) -> None:
    """Print what a job has said. With -f the exit code is 1 unless the job ends well.

    Example: `plait jobs logs train-support-1a2b3c -f`
    """
    from plait.jobs.submission.cluster import Cluster
    from plait.jobs.submission.listing import find

    cluster = Cluster.find(address)
    if follow:
        _follow(cluster, job)
        return
    found = find(cluster, job)
    if found.is_waiting:
        print(f"{job} waits for room and has said nothing yet.")
        return
    print(cluster.jobs.get_job_logs(job), end="")


@app.command("stop")
def stop(job: str = typer.Argument(help="Its id."), address: str = _ADDRESS) -> None:
    """Stop a job, or take it out of the queue. Training saves a checkpoint first.

    Example: `plait jobs stop train-support-1a2b3c`
    """
    from plait.jobs.submission.cluster import Cluster
    from plait.jobs.submission.listing import find
    from plait.jobs.submission.queue import Queue

    queue = Queue()
    with queue.locked():
        was_waiting = queue.remove(job)
    if was_waiting:
        print(f"{job} is out of the queue")
        return
    cluster = Cluster.find(address)
    find(cluster, job)
    was_running = cluster.jobs.stop_job(job)
    print(f"{job} is told to stop" if was_running else f"{job} had ended already")


def _follow(cluster: "Cluster", job: str) -> None:
    """Print a job's output until it has ended.

    Raises:
        PlaitError: when it does not end well.
    """
    from plait.errors import PlaitError
    from plait.interruption import explained
    from plait.jobs.submission.listing import follow

    with explained(f"{job} goes on.", f"Follow it again: plait jobs logs {job} -f, or end it: plait jobs stop {job}"):
        ended = follow(cluster, job, lambda text: print(text, end="", flush=True))
    if ended.state != "SUCCEEDED":
        raise PlaitError(f"{job} ended as {ended.state} ({ended.reason or 'no reason given'}).")


def _kind(given: str) -> "Kind":
    from plait.errors import InvalidInput, did_you_mean
    from plait.jobs.submission.order import RECIPES

    for kind in RECIPES:
        if kind == given:
            return kind
    raise InvalidInput(
        f"There is no job '{given}'.", did_you_mean(given, list(RECIPES)) or f"Known: {', '.join(RECIPES)}."
    )


def _recipe_and_overrides(kind: "Kind", arguments: list[str]) -> tuple[str | None, list[str]]:
    """The arguments of the local command as a recipe and fields to set."""
    if kind == "ingest":
        from plait.jobs.ingest.command import understand

        return understand(arguments)
    if kind == "evaluate":
        import json

        names = [argument for argument in arguments if "=" not in argument]
        fields = [argument for argument in arguments if "=" in argument]
        data = [f"data={json.dumps(names[0])}"] if names else []
        models = [f"models={json.dumps(names[1:])}"] if names[1:] else []
        return None, [*data, *models, *fields]
    return arguments[0], arguments[1:]


def _options(kind: "Kind", url: str | None, report: str | None) -> list[str]:
    from plait.errors import InvalidInput

    given = [f"--{name}={value}" for name, value in (("url", url), ("report", report)) if value is not None]
    if given and kind not in ("evaluate", "compare"):
        raise InvalidInput(f"{given[0].partition('=')[0]} goes with evaluate and compare, not with {kind}.")
    return given


def _variables(given: list[str]) -> dict[str, str]:
    from plait.errors import InvalidInput

    variables = {}
    for assignment in given:
        name, is_assignment, value = assignment.partition("=")
        if not is_assignment or not name:
            raise InvalidInput(f"'{assignment}' is no variable.", "Write --env NAME=VALUE.")
        variables[name] = value
    return variables
