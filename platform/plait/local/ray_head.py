"""Ray, as every command of Plait joins it: the configured cluster, or a local head that Plait starts.

Ray binds most of its ports on all interfaces, so the local head runs with token authentication; every process that
joins gets mode and token explicitly, because one that only joins does not find them out by itself.
"""

import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from plait import interruption
from plait.errors import Conflict, InvalidInput, Unavailable, first_line
from plait.local import ray_messages
from plait.local.exporter import exporter
from plait.local.process import LocalProcess, answers, check_port_is_free, ensure_all, free_port
from plait.local.ray_intervals import intervals
from plait.local.running import Running
from plait.observability.metric_files import drop_files_of_ended_processes
from plait.settings import settings, settings_variables

NAME = "ray"
_CONNECT_TIMEOUT_S = 3.0
_WORKER_PORTS = range(10_002, 20_000)
# A socket's path may have 103 characters (macOS; Linux: 107), and 85 of them are needed below this folder.
_LONGEST_TEMP_DIR = 18
# `ray start` says so when its node has registered. The ports answer seconds before that, and on a busy machine it may
# fail yet: a driver that joined in between would wait a minute for a cluster that is gone.
_SAID_WHEN_STARTED = "Ray runtime started."


def connect(meanwhile: Callable[[], object] = lambda: None, setup_hook: str | None = None) -> None:
    """Make this process a driver on the Ray cluster; starts the local head (and the exporter) when none is configured.

    Calling it again is harmless. `meanwhile`: imports that take seconds, done while a head starts. `setup_hook`: what
    each worker of a local head calls first, as `module.function`.

    Raises:
        Unavailable: when a configured cluster does not answer or refuses us.
        Conflict: when a port of the local head is in use, or it runs with other settings or from another environment.
    """
    _quieten()
    configured = settings().ray_address or _cluster_of_this_job()
    hook: dict[str, str] = {}
    if configured is None:

        def get_ready() -> None:
            _authenticate()
            meanwhile()

        address = _start_here(get_ready).address
        if setup_hook is not None:
            hook = {"worker_process_setup_hook": setup_hook}
    else:
        _check_answers(configured)
        address = configured
        meanwhile()

    import ray

    if ray.is_initialized():
        return
    if "PLAIT_DEBUG" not in os.environ:
        ray_messages.send_to_standard_error()
    try:
        with interruption.handlers_kept():
            ray.init(
                address=address,
                runtime_env={"env_vars": _worker_environment(address), **hook},
                log_to_driver="PLAIT_DEBUG" in os.environ,
                logging_level="INFO" if "PLAIT_DEBUG" in os.environ else "ERROR",
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unavailable(
            f"The Ray cluster at {address} cannot be joined ({first_line(error)}).",
            "Check PLAIT_RAY_ADDRESS and RAY_AUTH_TOKEN, or unset both to use a local one.",
        ) from error


def ensure_head() -> str:
    """Start the local head (and the exporter) unless it runs; returns the URL of its dashboard and Jobs API.

    Raises:
        Conflict: as `connect`.
    """
    return f"http://127.0.0.1:{_start_here().settings['ray_dashboard_port']}"


def _start_here(meanwhile: Callable[[], object] = lambda: None) -> Running:
    """The local head, with the exporter of this machine beside it."""
    # It would watch for nodes that are taken away, as spot nodes are: a process of each training, and 1.5 s of CPU.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    # The exporter first: it has one port that may be in use, and is begun at once.
    _, head = ensure_all(exporter(), _head(), meanwhile=meanwhile)
    return head


def _cluster_of_this_job() -> str | None:
    """The cluster whose Jobs API started this process: what it runs on, it joins."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
        return None
    # The job's own runtime environment may set the same variables as we do; without this Ray refuses to merge them.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    return os.environ.get("RAY_ADDRESS")


def token() -> str:
    """The local head's authentication token; made the first time, readable by this user only."""
    file = settings().local_dir / "ray-token"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, written = tempfile.mkstemp(dir=file.parent)  # mode 0600
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_hex(32))
        # Two commands may be here at once: one link is made, whole, and both read that one.
        with suppress(FileExistsError):
            os.link(written, file)
        os.unlink(written)
    return file.read_text(encoding="utf-8")


def temp_dir() -> Path:
    """Ray's folder for sockets and logs of this PLAIT_HOME: outside of it, because a socket's path must be short."""
    mark = hashlib.sha256(str(settings().root).encode()).hexdigest()[:8]
    parent = tempfile.gettempdir()
    return Path(parent if len(parent) <= _LONGEST_TEMP_DIR else "/tmp") / f"plait-ray-{mark}"


def _make_temp_dir() -> Path:
    """Make it anew, so that the logs of earlier heads do not pile up, and closed to others: what Ray makes is not.

    Raises:
        Conflict: when it belongs to somebody else, who could listen in on Ray's sockets.
    """
    folder = temp_dir()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise Conflict(f"{folder} belongs to somebody else.", "Set another PLAIT_HOME or TMPDIR.") from None
        folder.chmod(0o700)
        for session in folder.iterdir():
            if session.is_dir() and not session.is_symlink():
                shutil.rmtree(session, ignore_errors=True)
            else:
                session.unlink()
    # Ray makes its own folder open to everybody (0777), so it goes one below.
    return folder / "r"


def _authenticate() -> None:
    """Put this process into Ray's token mode, whether or not ray was imported before."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = token()
    # Ray reads both variables once, at its first import; this is how it reads them again (as its own tests do).
    raylet: Any = import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _worker_environment(address: str) -> dict[str, str]:
    """The settings of this process, and what keeps a worker from others' cores and clusters."""
    # Torch's threads would spin while they wait for each other, and starve whatever else runs on the same cores. A few
    # microseconds of it are left: without any, a training step takes a sixth longer.
    threads = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
    # Ray Train asks Ray's state API whether its controller lives, and that would look for a cluster on this machine: it
    # might find another one, or wait for one that is gone. (Through a Ray client, the workers' address is another.)
    there = {} if address.startswith("ray://") else {"RAY_ADDRESS": address}
    return {**settings_variables(), **threads, **there}


def _head() -> LocalProcess:
    current = settings()

    def make_address() -> str:
        check_ports_differ("PLAIT_METRICS_PORT", "PLAIT_RAY_METRICS_PORT", "PLAIT_RAY_DASHBOARD_PORT")
        check_port_is_free(current.ray_dashboard_port, "127.0.0.1", "PLAIT_RAY_DASHBOARD_PORT")
        check_port_is_free(current.ray_metrics_port, "127.0.0.1", "PLAIT_RAY_METRICS_PORT")
        # Counters begin anew with a new head; otherwise the files of ended processes would pile up for ever.
        drop_files_of_ended_processes(current.metrics_dir)
        return f"127.0.0.1:{free_port()}"

    def command(address: str) -> list[str]:
        from joblib import cpu_count

        first_port, last_port = worker_ports(current.ports.values())
        options = {
            "--port": address.rpartition(":")[2],
            "--dashboard-host": "127.0.0.1",
            "--dashboard-port": current.ray_dashboard_port,
            "--metrics-export-port": current.ray_metrics_port,
            "--min-worker-port": first_port,
            "--max-worker-port": last_port,
            "--num-cpus": current.ray_cpus or cpu_count(),
            "--temp-dir": _make_temp_dir(),
            # Ray would take a fixed port, and two heads could not live on one machine.
            "--dashboard-agent-listen-port": free_port(),
        }
        # Nothing scales this machine, so Ray's autoscaler, a process of its own, is not started.
        flags = ["--head", "--block", "--disable-usage-stats", "--no-monitor"]
        return [
            *(sys.executable, "-m", "plait.local.ray_start", "start"),
            *flags,
            *(f"{name}={value}" for name, value in options.items()),
        ]

    return LocalProcess(
        name=NAME,
        make_address=make_address,
        command=command,
        is_ready=lambda _: answers("127.0.0.1", current.ray_dashboard_port) and _has_started(),
        timeout_s=120,  # `ray start` itself gives its node 30 s, on a machine that may be busy
        environment=intervals()
        | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token(),
            # So that `python` of a submitted job is the one that has Plait.
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
            # The only node is on the same machine: when that is too busy to answer for half a minute, it is not dead.
            "RAY_health_check_failure_threshold": "30",
            # Serve's replicas and proxy call each other directly, not through Ray's actors: on two cores a fifth more
            # tokens a second. Its 4 MiB a message are less than 2,048 vectors.
            "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
            "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**28),
            # Serve's HTTP proxy is started anew after three failed checks: of one that died, that is after 3 s, not
            # 30 s. One that is only busy still has 10 s for each.
            "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
            # What it says when the API's replica dies.
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "plait.serve.proxy:middlewares",
        },
        settings={
            "ray_dashboard_port": current.ray_dashboard_port,
            "ray_metrics_port": current.ray_metrics_port,
            "ray_cpus": current.ray_cpus,
        },
    )


def _has_started() -> bool:
    return _SAID_WHEN_STARTED in (settings().local_dir / f"{NAME}.log").read_text(encoding="utf-8", errors="replace")


def worker_ports(configured: Iterable[int]) -> tuple[int, int]:
    """The first and the last port of Ray's workers: Ray's own range, or its largest part that nobody configured.

    Ray refuses a dashboard there, and a worker would take the port of what is not started yet.
    """
    inside = sorted({port for port in configured if port in _WORKER_PORTS})
    edges = [_WORKER_PORTS.start - 1, *inside, _WORKER_PORTS.stop]
    before, after = max(pairwise(edges), key=lambda edge: edge[1] - edge[0])
    return before + 1, after - 1


def check_ports_differ(*variables: str) -> None:
    """Say now what whichever starts second would say in a log.

    Raises:
        InvalidInput: when two of these settings are one port.
    """
    ports = settings().ports
    for one, other in combinations(variables, 2):
        if ports[one] == ports[other]:
            raise InvalidInput(f"{one} and {other} are both {ports[one]}.", "Set one of them to another port.")


def _check_answers(address: str) -> None:
    """Ray itself would try for many minutes. Addresses without a port (`auto`, `local`) are left to it."""
    host, _, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if host and port.isdecimal() and not answers(host, int(port), _CONNECT_TIMEOUT_S):
        raise Unavailable(
            f"The Ray cluster at {address} does not answer.",
            "Start it, correct PLAIT_RAY_ADDRESS, or unset it to use a local one.",
        )


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
