"""`plait jobs`: jobs on any Ray cluster, through its Jobs API."""

from pathlib import Path

import typer

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
    out: str = typer.Option(None, help="evaluate, compare: the folder of what is found, on the cluster."),
    check: bool = typer.Option(True, help="Look at the cluster's nodes and image before anything starts."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Show its output until it has ended."),
) -> None:
    """Submit a job; whatever keeps it from running is said before anything starts.

    The recipe, with all fields set, and its data that lie on this machine are shipped; buckets and hub ids are not.

    Example: `plait jobs submit train qlora name=support data.train=train.jsonl --address http://head:8265 --num-gpus 4`
    """
    from plait.errors import InvalidInput
    from plait.flows.jobs import JobRequest
    from plait.flows.jobs import submit as submit_job
    from plait.jobs.submission.place import Conditions

    if priority and not queue:
        raise InvalidInput("--priority goes with --queue.", "A cluster runs what it is given at once.")
    wanted = JobRequest(kind, arguments, num_gpus, retries, _variables(env), url, out)
    submitted = submit_job(wanted, address, Conditions(on_cluster, wheel, check, priority if queue else None))
    where = "" if address is None else f" --address {address}"
    if submitted.number is not None:
        print(f"{submitted.id} waits for room, number {submitted.number} in the queue", flush=True)
    else:
        print(f"{submitted.id} is submitted to {submitted.cluster.url}", flush=True)
    print(f"follow it: plait jobs logs {submitted.id} -f{where}", flush=True)
    if follow:
        _follow(submitted.id, address)


@app.command("list")
def list_jobs(address: str = _ADDRESS) -> None:
    """List the jobs that wait here and those that the cluster has.

    Example: `plait jobs list --address http://head:8265`
    """
    from rich.console import Console
    from rich.table import Column, Table

    from plait.flows.jobs import listed

    jobs = listed(address)
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
    from plait.flows.jobs import said

    if follow:
        _follow(job, address)
        return
    text = said(job, address)
    print(f"{job} waits for room and has said nothing yet.\n" if text is None else text, end="")


@app.command("stop")
def stop(job: str = typer.Argument(help="Its id."), address: str = _ADDRESS) -> None:
    """Stop a job, or take it out of the queue. Training saves a checkpoint first.

    Example: `plait jobs stop train-support-1a2b3c`
    """
    from plait.flows.jobs import stop as stop_job

    told = {"waited": "is out of the queue", "ran": "is told to stop", "had ended": "had ended already"}
    print(f"{job} {told[stop_job(job, address)]}")


def _follow(job: str, address: str | None) -> None:
    from plait.flows.jobs import follow

    follow(job, address, lambda text: print(text, end="", flush=True))


def _variables(given: list[str]) -> dict[str, str]:
    from plait.errors import InvalidInput

    variables = {}
    for assignment in given:
        name, is_assignment, value = assignment.partition("=")
        if not is_assignment or not name:
            raise InvalidInput(f"'{assignment}' is no variable.", "Write --env NAME=VALUE.")
        variables[name] = value
    return variables
