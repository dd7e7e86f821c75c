"""Ray, as every command of Plait joins it: the configured cluster, or a local head that Plait starts.

Ray binds most of its ports on all interfaces, so the local head runs with token authentication; every process that
joins gets mode and token explicitly, because one that only joins does not find them out by itself.
"""

import hashlib
import os
import secrets
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from plait.errors import Unavailable
from plait.local.process import LocalProcess, answers, check_port_is_free, free_port
from plait.settings import settings

NAME = "ray"


def connect() -> None:
    """Make this process a driver on the Ray cluster; starts the local head (and the exporter) when none is configured.

    Calling it again is harmless.

    Raises:
        Unavailable: when a configured cluster does not answer.
        Conflict: when a port of the local head is in use.
    """
    _quieten()
    configured = settings().ray_address
    if configured is None:
        from plait.local.exporter import ensure_exporter

        _authenticate()
        address = _head().ensure().address
        ensure_exporter()
    else:
        address = configured

    import ray

    if ray.is_initialized():
        return
    try:
        ray.init(
            address=address,
            runtime_env={"env_vars": _worker_environment()},
            log_to_driver="PLAIT_DEBUG" in os.environ,
            logging_level="INFO" if "PLAIT_DEBUG" in os.environ else "ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unavailable(
            f"The Ray cluster at {address} cannot be joined ({str(error).strip().splitlines()[0]}).",
            "Check PLAIT_RAY_ADDRESS and RAY_AUTH_TOKEN, or unset both to use a local one.",
        ) from error


def token() -> str:
    """The local head's authentication token; made the first time, readable by this user only."""
    file = settings().local_dir / "ray-token"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_hex(32))
    return file.read_text(encoding="utf-8")


def _authenticate() -> None:
    """Put this process into Ray's token mode, whether or not ray was imported before."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = token()
    # Ray reads both variables once, at its first import; this is how it reads them again (as its own tests do).
    raylet: Any = import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _worker_environment() -> dict[str, str]:
    """What the settings of this process come from, so that workers have the same."""
    mine = {key: value for key, value in os.environ.items() if key.startswith("PLAIT_")}
    # Torch's threads would spin while they wait for each other, and starve whatever else runs on the same cores.
    return {**mine, "PLAIT_HOME": str(settings().root), "OMP_WAIT_POLICY": "PASSIVE"}


def _head() -> LocalProcess:
    current = settings()

    def make_address() -> str:
        check_port_is_free(current.ray_dashboard_port, "127.0.0.1", "PLAIT_RAY_DASHBOARD_PORT")
        check_port_is_free(current.ray_metrics_port, "127.0.0.1", "PLAIT_RAY_METRICS_PORT")
        _forget_dead_processes_metrics(current.metrics_dir)
        return f"127.0.0.1:{free_port()}"

    def command(address: str) -> list[str]:
        options = {
            "--port": address.rpartition(":")[2],
            "--dashboard-host": "127.0.0.1",
            "--dashboard-port": current.ray_dashboard_port,
            "--metrics-export-port": current.ray_metrics_port,
            "--num-cpus": current.ray_cpus or os.cpu_count() or 1,
            "--temp-dir": _temp_dir(),
            # Ray would take fixed ports for these, and two heads could not live on one machine.
            "--ray-client-server-port": free_port(),
            "--dashboard-agent-listen-port": free_port(),
        }
        flags = ["--head", "--block", "--disable-usage-stats"]
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start"),
            *flags,
            *(f"{name}={value}" for name, value in options.items()),
        ]

    return LocalProcess(
        name=NAME,
        make_address=make_address,
        command=command,
        is_ready=_is_ready,
        environment={
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token(),
            "PLAIT_HOME": str(current.root),
        },
    )


def _is_ready(address: str) -> bool:
    port = int(address.rpartition(":")[2])
    return answers("127.0.0.1", port) and answers("127.0.0.1", settings().ray_dashboard_port)


def _temp_dir() -> str:
    """Ray's folder for sockets and logs. Outside the home: a socket's path may have 107 characters at most."""
    mark = hashlib.sha256(str(settings().root).encode()).hexdigest()[:8]
    return str(Path(tempfile.gettempdir()) / f"plait-ray-{mark}")


def _forget_dead_processes_metrics(folder: Path) -> None:
    """Counters begin anew with a new head; otherwise the files of ended processes would pile up for ever."""
    for file in folder.glob("*.db"):
        if not psutil.pid_exists(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)


def _quieten() -> None:
    """Keep the chatter of Ray's libraries out of our output; --debug brings it back."""
    if "PLAIT_DEBUG" in os.environ:
        return
    for name, value in {
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_DATA_USAGE_DISABLED": "1",  # it would ask a Prometheus on localhost:9090 that is none of ours
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # keeps a warning about CPU-only workers away
    }.items():
        os.environ.setdefault(name, value)
