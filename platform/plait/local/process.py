"""A process of ours on this machine: started once, found again by every later command, stopped by its id.

In: a `LocalProcess` that says what to run. The state lies in `PLAIT_HOME/local/<name>.json`, the output in
`<name>.log` beside it. It knows nothing of what the process serves.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from plait.errors import Conflict, Unavailable
from plait.settings import settings

_STOP_GRACE_S = 15.0
_ORPHAN_GRACE_S = 2.0


@dataclass(frozen=True)
class Running:
    """A process that was started: its id with its start time (ids are used again), and where it listens."""

    name: str
    pid: int
    created_at: float
    address: str
    environment: str
    """The Python environment (`sys.prefix`) that started it."""

    def process(self) -> psutil.Process | None:
        """The live process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created_at) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        return None


@dataclass(frozen=True)
class LocalProcess:
    """What to run, and how to tell that it is ready.

    `command` gets the address it shall listen on; `is_ready` is asked until it says yes or `timeout_s` has passed.
    """

    name: str
    make_address: Callable[[], str]
    command: Callable[[str], Sequence[str]]
    is_ready: Callable[[str], bool]
    environment: Mapping[str, str]
    timeout_s: float = 60.0

    def running(self) -> Running | None:
        """The process, if it was started before and is alive."""
        return find_running(self.name)

    def ensure(self) -> Running:
        """Start the process unless it runs; two commands that call this at once start one.

        Raises:
            Conflict: when it was started from another Python environment, or its port is in use.
            Unavailable: when it ends at once or does not get ready, with its last words.
        """
        folder = settings().local_dir
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{self.name}.lock"):
            found = self.running()
            if found is None:
                return self._start(folder)
            if found.environment != sys.prefix:
                raise Conflict(
                    f"The {self.name} of this PLAIT_HOME was started from another environment ({found.environment}).",
                    "Run 'plait stop' first, or set another PLAIT_HOME.",
                )
            return found

    def _start(self, folder: Path) -> Running:
        address = self.make_address()
        log = folder / f"{self.name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                self.command(address),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=folder,
                start_new_session=True,  # Ctrl-C in a terminal ends the command, not the servers
            )
        running = Running(self.name, child.pid, psutil.Process(child.pid).create_time(), address, sys.prefix)
        # Written before it is ready, so that whatever happens now, 'plait stop' still finds it.
        _state_file(self.name).write_text(json.dumps(asdict(running)), encoding="utf-8")
        deadline = time.monotonic() + self.timeout_s
        while not self.is_ready(address):
            if child.poll() is not None:
                _state_file(self.name).unlink()
                raise Unavailable(f"{self.name} ended at once ({_last_words(log)}).", f"Its log: {log}")
            if time.monotonic() > deadline:
                stop(running)
                raise Unavailable(f"{self.name} was not ready after {self.timeout_s:.0f} s.", f"Its log: {log}")
            time.sleep(0.1)
        return running


def find_running(name: str) -> Running | None:
    """A process by its name, if it is alive."""
    try:
        running = Running(**json.loads(_state_file(name).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
    return running if running.process() else None


def stop(running: Running) -> None:
    """End a process and all that it started: asked first, killed when it has not ended in time."""
    process = running.process()
    if process is not None:
        children = process.children(recursive=True)
        process.terminate()  # it may end its children in order
        _, alive = psutil.wait_procs([process], timeout=_STOP_GRACE_S)
        _, orphans = psutil.wait_procs(children, timeout=_ORPHAN_GRACE_S)
        for survivor in [*alive, *orphans]:
            survivor.kill()
        psutil.wait_procs([*alive, *orphans], timeout=5)
    _state_file(running.name).unlink(missing_ok=True)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port_is_free(port: int, bind: str, setting: str) -> None:
    """Raise Conflict, naming who listens there and the setting to change, when `port` is taken."""
    if not is_free(port, bind):
        raise Conflict(f"Port {port} is in use{_listener(port)}.", f"Stop it, or set {setting} to another port.")


def is_free(port: int, bind: str) -> bool:
    """Whether a port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError:
            return False
    return True


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _listener(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        is_there = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
        if is_there and connection.pid:
            return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def _state_file(name: str) -> Path:
    return settings().local_dir / f"{name}.json"


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
