"""Bring the application of a Serve configuration up on the cluster of this process, and wait until it answers.

In: a configuration in Ray Serve's own schema, with `app.field=value` overrides of the application's args. Out: the
address of the API. The configuration goes to Serve as it is, so `serve deploy` does the same on any cluster.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from ray.serve.schema import ServeDeploySchema

from plait.api_keys import all_keys
from plait.errors import Conflict, PlaitError, RecipeError, Unavailable, did_you_mean
from plait.local.machines import check_all_reach_milvus
from plait.local.process import check_port_is_free
from plait.recipes import apply_override
from plait.recipes.yaml_text import parse_yaml
from plait.serve.app import check, parse
from plait.serve.messages.arguments import AppArguments
from plait.settings import settings

APPLICATION = "plait"
_READY_TIMEOUT_S = 600.0
_LOOK_EVERY_S = 0.25


def read_config(config: str, overrides: Sequence[str]) -> dict[str, Any]:
    """A Serve configuration from a file or by its ready name, overrides applied to the application's args.

    Host and port come from the settings unless the file is the user's own.

    Raises:
        RecipeError: for a missing file, bad YAML, or a configuration without exactly one Plait application.
    """
    path, ready = Path(config), files("plait.serve.config") / f"{config}.yaml"
    if not path.is_file() and not ready.is_file():
        names = [
            f.name.removesuffix(".yaml") for f in files("plait.serve.config").iterdir() if f.name.endswith(".yaml")
        ]
        raise RecipeError(f"There is no Serve configuration '{config}'.", did_you_mean(config, names))
    try:
        values = parse_yaml((path if path.is_file() else ready).read_bytes())
        application = _application(values)
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(
            f"'{config}' is no Serve configuration of Plait "
            f"({error if isinstance(error, yaml.YAMLError) else type(error).__name__}).",
            "It needs one application with import_path plait.serve.app:build.",
        ) from None
    args = application.setdefault("args", {})
    for override in overrides:
        apply_override(args, override, AppArguments)
    if not path.is_file():
        values["http_options"] |= {"host": settings().bind, "port": settings().http_port}
    return dict(values)


def check_config(config: dict[str, Any]) -> None:
    """Find out before anything starts whether the application of a configuration can run.

    Raises:
        PlaitError: one of its kinds when the arguments are wrong, or a model or a collection is not there.
    """
    check(parse(_application(config)["args"]))


def deploy(config: dict[str, Any], on_progress: Callable[[str], None]) -> str:
    """Deploy a configuration and wait until the application is ready; returns the API's base URL.

    Raises:
        PlaitError: one of its kinds when the arguments are wrong, a port is in use, or the application fails.
    """
    from ray.serve._private.api import serve_start  # what `serve run CONFIG` calls; there is no public way
    from ray.serve.context import _get_global_client

    if "PLAIT_DEBUG" not in os.environ:
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
    application = _application(config)
    arguments = parse(application["args"])
    if arguments.retrieval is not None:
        check_all_reach_milvus()
    check(arguments)
    environment = application.setdefault("runtime_env", {}).setdefault("env_vars", {})
    environment["PLAIT_HOME"] = str(settings().root)
    environment["PLAIT_KEYS_FILE"] = str(settings().keys_path)
    environment["PLAIT_KEYS_REQUIRED"] = str(settings().keys_required or all_keys() is not None)
    # The cluster may have been joined before these were set.
    environment.setdefault("PLAIT_REPLICA_HOUR_PRICE", str(settings().replica_hour_price))
    environment.setdefault("PLAIT_LOG_CONTENT", str(settings().log_content))
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        environment.setdefault(name, os.environ[name])
    judge_key = arguments.judge_key_variable
    if judge_key is not None and judge_key in os.environ:
        environment.setdefault(judge_key, os.environ[judge_key])
    admin_key = settings().admin_key
    if admin_key is not None:
        environment["PLAIT_ADMIN_KEY"] = admin_key.get_secret_value()
    schema = ServeDeploySchema.model_validate(config)
    options = schema.http_options
    running = _get_global_client(raise_if_no_controller_running=False)
    if running is None:
        check_port_is_free(options.port, options.host, "PLAIT_HTTP_PORT")
    elif (running.http_config.host, running.http_config.port) != (options.host, options.port):
        raise Conflict(
            f"Serve already runs on {running.http_config.host}:{running.http_config.port}.",
            "Use that address, or run 'plait stop' first.",
        )
    client = serve_start(http_options=options.model_dump(), proxy_location=schema.proxy_location)
    client.deploy_apps(schema)
    _wait(lambda: client.get_serve_status(application["name"]), on_progress)
    return f"http://{options.host}:{options.port}"


def _application(config: dict[str, Any]) -> dict[str, Any]:
    """Plait's, of the applications of a configuration."""
    (application,) = [a for a in config["applications"] if str(a["import_path"]).startswith("plait.serve")]
    return application  # type: ignore[no-any-return]


def take_down() -> None:
    """Delete the application, if it is there; the answers that are under way are finished first."""
    from ray import serve
    from ray.serve.context import _get_global_client

    if _get_global_client(raise_if_no_controller_running=False) is not None:
        serve.delete(APPLICATION)


def shut_down() -> None:
    """Take the application down, and then Serve itself."""
    from ray import serve

    take_down()
    serve.shutdown()


def is_served(application: str) -> bool:
    """Whether the cluster of this process serves an application of this name."""
    return served_since(application) is not None


def served_since(application: str) -> float | None:
    """When the application of this name was deployed last, in Unix seconds; None where the cluster serves none."""
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        return None
    # `serve.status()` would cost half a second of CPU here and in the controller: it pickles the request router anew.
    found = client.get_serve_status(application).app_status
    return None if found.status == "NOT_STARTED" else float(found.deployment_timestamp)


def _wait(status: Callable[[], Any], on_progress: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    told = ""
    while time.monotonic() < deadline:
        application = status()
        state = application.app_status.status
        if state == "RUNNING":
            return
        if state in ("DEPLOY_FAILED", "UNHEALTHY") or _keeps_failing(application):
            raise PlaitError(
                f"The application did not start ({_reason(application)}).", "'plait serve --debug' shows more."
            )
        waiting = sorted(d.name for d in application.deployment_statuses if d.status != "HEALTHY")
        line = "starting " + (", ".join(waiting) or "Ray Serve")
        if line != told:
            told = line
            on_progress(line)
        time.sleep(_LOOK_EVERY_S)
    raise Unavailable(f"The application was not ready after {_READY_TIMEOUT_S:.0f} s.", "Run 'plait status'.")


def _keeps_failing(application: Any) -> bool:
    return any(d.status == "DEPLOY_FAILED" for d in application.deployment_statuses)


def _reason(application: Any) -> str:
    messages = [application.app_status.message, *(d.message for d in application.deployment_statuses)]
    lines = [line.strip() for message in messages for line in (message or "").splitlines() if line.strip()]
    # Serve's messages hold whole tracebacks: the sentence is on the line that names the error.
    errors = [line for line in lines if "Error" in line or "plait.errors" in line]
    return (errors or lines or ["no reason given"])[-1]
