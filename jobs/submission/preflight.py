"""Whether a job can run, found out before anything starts.

Three looks, the cheapest first: at the data on this machine, by the reader that the job uses; at what the cluster's
nodes have; and, on a cluster that Plait did not start, from inside it (plait.jobs.submission.probe).
"""

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plait.errors import DataError, InvalidInput, NotFound, PlaitError, Unavailable
from plait.jobs.submission.cluster import Cluster
from plait.jobs.submission.order import RECIPES, JobOrder
from plait.jobs.submission.probe import MARK
from plait.recipes import CompareRecipe, EvaluateRecipe, IngestRecipe, TrainRecipe
from plait.section import Section

_NODES_WITHIN_S = 10.0
_PROBE_WITHIN_S = 600.0  # the first job with a wheel installs it


def check_data(order: JobOrder, folder: Path, on_cluster: Sequence[str]) -> None:
    """Look at the data as it will be shipped.

    Raises:
        DataError: for files that are of no known format, hold nothing, or (questions) a bad line.
    """
    _check(RECIPES[order.kind].model_validate(order.recipe), folder, [Path(prefix) for prefix in on_cluster])


def _check(recipe: Section, folder: Path, on_cluster: Sequence[Path]) -> None:
    def here(value: str) -> str | None:
        """Where it lies on this machine; None: elsewhere."""
        is_elsewhere = "://" in value or any(Path(value).is_relative_to(prefix) for prefix in on_cluster)
        place = folder / value  # an absolute path stays what it is
        is_absent = not place.exists() and "*" not in value and "?" not in value and "[" not in value
        return None if is_elsewhere or is_absent else str(place)

    if isinstance(recipe, TrainRecipe):
        from plait.documents.row_source import find_rows

        for source in (recipe.data.train, recipe.data.eval):
            if source and (place := here(source)):
                find_rows(place)
    elif isinstance(recipe, IngestRecipe):
        from plait.documents.read import find_documents

        places = [place for source in recipe.sources if (place := here(source))]
        if places:
            find_documents(places, with_tables=recipe.table.text is not None)
    elif isinstance(recipe, EvaluateRecipe | CompareRecipe):
        from plait.evaluation.eval_set import read_questions

        if place := here(recipe.data):
            read_questions(place, recipe.limit)
        if isinstance(recipe, CompareRecipe):
            for step in (recipe.ingest, *recipe.tuned.values()):
                _check(step, folder, on_cluster)


def check_resources(
    demand: Mapping[str, float], nodes: Sequence[Mapping[str, float]], most: Mapping[str, float] | None = None
) -> None:
    """Compare what a job holds at once with what the nodes have, or could have.

    Args:
        nodes: what each live node has.
        most: what an autoscaler would add up to at most, where one says so.

    Raises:
        InvalidInput: when it can never start.
    """
    for kind, amount in sorted(demand.items(), reverse=True):  # GPUs first: they are what is scarce
        has = sum(node.get(kind, 0) for node in nodes)
        could_have = max(has, (most or {}).get(kind, 0))
        if amount > could_have:
            grows = f" and can scale to {could_have:g}" if could_have > has else ""
            raise InvalidInput(
                f"The job needs {amount:g} {kind}s, but the cluster has {has:g}{grows}.",
                f"Lower scale.workers or scale.{kind.lower()}s_per_worker, or use a larger cluster.",
            )


def live_nodes(cluster: Cluster) -> list[dict[str, float]]:
    """The nodes; a cluster that has just started may take a moment to list them.

    Raises:
        Unavailable: when there are none.
    """
    deadline = time.monotonic() + _NODES_WITHIN_S
    while not (nodes := cluster.nodes()):
        if time.monotonic() > deadline:
            raise Unavailable(f"The cluster at {cluster.url} has no live node.", "Wait until it has started.")
        time.sleep(0.2)
    return nodes


def probe(cluster: Cluster, runtime_env: Mapping[str, Any], paths: Sequence[str]) -> dict[str, float] | None:
    """Look at a cluster from inside; returns the most that it can scale to, where an autoscaler says so.

    Raises:
        NotFound: when the job's environment has no Plait.
        DataError: when a path of the recipe is not there.
    """
    from ray.job_submission import JobStatus

    jobs = cluster.jobs
    command = shlex.join(["python", "-m", "plait.jobs.submission.probe", *paths])
    # It comes without the data: nothing large travels before it is known that the job can run.
    environment = {name: value for name, value in runtime_env.items() if name != "working_dir"}
    job = jobs.submit_job(entrypoint=command, runtime_env=environment, metadata={"plait.kind": "probe"})
    deadline = time.monotonic() + _PROBE_WITHIN_S
    try:
        while not (status := jobs.get_job_status(job)).is_terminal():
            if time.monotonic() > deadline:
                jobs.stop_job(job)
                raise Unavailable(f"The cluster at {cluster.url} did not answer a look inside in time.")
            time.sleep(0.2)
        logs = jobs.get_job_logs(job)
        reason = jobs.get_job_info(job).message or ""
    finally:
        if jobs.get_job_status(job).is_terminal():
            jobs.delete_job(job)
    if status != JobStatus.SUCCEEDED:
        if "No module named" in logs and "plait" in logs:
            raise NotFound(
                f"The image of the cluster at {cluster.url} has no Plait with job submission.",
                "Install it there, or ship it: --wheel dist/plait-….whl",
            )
        last = [line for line in f"{reason}\n{logs}".splitlines() if line.strip()][-1:]
        raise PlaitError(f"The cluster cannot run Plait's jobs ({' '.join(last)}).")
    (line,) = [line for line in logs.splitlines() if line.startswith(MARK)]
    seen = json.loads(line.removeprefix(MARK))
    if seen["missing"]:
        raise DataError(f"The cluster has no '{seen['missing'][0]}'.", "Correct the recipe, or --on-cluster.")
    most: dict[str, float] | None = seen["most"]
    return most
