"""Hand a job to a cluster: the runtime environment that it gets, and the call.

In: a checked order and the folder to ship. It knows nothing of where they came from.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plait.errors import NotFound, PlaitError, Unavailable, first_line
from plait.jobs.submission.cluster import Cluster
from plait.jobs.submission.order import JobOrder
from plait.settings import settings_variables

_SHARED = ("PLAIT_MILVUS_URI", "PLAIT_TRACKING_URI", "PLAIT_EMBEDDING_URL")
"""Settings that mean the same everywhere. A folder of this machine does not, and a secret does not travel unasked:
whoever may look at the cluster's dashboard reads the environment of its jobs."""


def job_environment(cluster: Cluster, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of a job: our settings as far as the cluster understands them, then what the user gives."""
    # A stop is a SIGTERM, at which training saves a checkpoint; Ray kills what has not ended within this time.
    ending = {"RAY_JOB_STOP_WAIT_TIME_S": "100"}
    ours = {name: os.environ[name] for name in _SHARED if os.environ.get(name)}
    if cluster.is_local:
        ours = {name: value for name, value in settings_variables().items() if not name.endswith(("_KEY", "_TOKEN"))}
    return {**ending, **ours, **given}


def runtime_environment(environment: Mapping[str, str], wheel: Path | None) -> dict[str, Any]:
    """Ray's runtime environment of a job, without the folder that is shipped.

    Raises:
        NotFound: when there is no such wheel.
    """
    made: dict[str, Any] = {"env_vars": dict(environment)}
    if wheel is not None:
        if not wheel.is_file() or wheel.suffix != ".whl":
            raise NotFound(f"There is no wheel '{wheel}'.", "Build one: pip wheel --no-deps -w dist .")
        made["py_modules"] = [str(wheel.absolute())]
    return made


def submit(cluster: Cluster, order: JobOrder, runtime_env: Mapping[str, Any], shipment: Path) -> None:
    """Start a job.

    Raises:
        Unavailable: when the cluster does not answer.
        PlaitError: when it does not take the job.
    """
    try:
        cluster.jobs.submit_job(
            entrypoint=order.entrypoint,
            submission_id=order.id,
            runtime_env={**runtime_env, "working_dir": str(shipment)},
            metadata=dict(order.metadata),
        )
    except ConnectionError as error:
        raise Unavailable(f"The cluster at {cluster.url} does not answer ({first_line(error)}).") from error
    except (RuntimeError, ValueError) as error:
        # Whoever sent it before may have been killed before it could note that.
        if order.id not in {job.submission_id for job in cluster.jobs.list_jobs()}:
            raise PlaitError(f"The cluster at {cluster.url} does not take the job ({first_line(error)}).") from error
