"""MLflow, opened the way Plait uses it: one experiment, SQLite and a folder under PLAIT_HOME unless told otherwise."""

import logging
import os
import re
import time
from typing import Any

from filelock import FileLock

from plait.errors import Unavailable, first_line
from plait.settings import settings

EXPERIMENT = "plait"

_NOT_OF_A_NAME = re.compile(r"[^\w\-. :/]")
_LONGEST_NAME = 250


def tracking_client() -> Any:
    """An `mlflow.MlflowClient` for the configured tracking server.

    Raises:
        Unavailable: when a configured tracking server does not answer.
    """
    # A server that is down should be said to be down within seconds, not after MLflow's seven retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    from mlflow.exceptions import MlflowException

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    root = settings().root
    root.mkdir(parents=True, exist_ok=True)
    client = mlflow.MlflowClient(tracking_uri=settings().mlflow_uri, registry_uri=settings().mlflow_uri)
    try:
        # Two processes that open a new SQLite file at once would both create its tables.
        with FileLock(root / "mlflow.lock"):
            if client.get_experiment_by_name(EXPERIMENT) is None:
                local = None if settings().tracking_uri else (root / "mlartifacts").as_uri()
                client.create_experiment(EXPERIMENT, artifact_location=local)
    except MlflowException as error:
        raise Unavailable(
            f"The tracking server {settings().mlflow_uri} does not answer ({first_line(error)}).",
            "Start it, or unset PLAIT_TRACKING_URI to use a local file.",
        ) from error
    return client


def start_run(client: Any, name: str, params: dict[str, Any]) -> str:
    """Create a run with its parameters; returns the run id."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    run_id: str = client.create_run(
        experiment.experiment_id, run_name=name, start_time=int(time.time() * 1000)
    ).info.run_id
    for key, value in params.items():
        client.log_param(run_id, key, value)
    return run_id


def metric_name(text: str) -> str:
    """A text as MLflow takes names of metrics and parameters: other characters become `_`, a long one is cut."""
    return _NOT_OF_A_NAME.sub("_", text)[:_LONGEST_NAME]
