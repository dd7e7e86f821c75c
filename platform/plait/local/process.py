"""A process of ours on this machine: started once, found again by every later command, stopped by its id.

In: a `LocalProcess` that says what to run. Out: what runs, as `state` remembers it, with its output in `<name>.log`.
It knows nothing of what the process serves.
"""

import errno
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import psutil

from plait import library_output
from plait.errors import Conflict, InvalidInput, Unavailable
from plait.local.running import Running
from plait.local.state import lock, read_state, stop, write_state
from plait.settings import settings, settings_variables

if TYPE_CHECKING:
    from rich.console import Console

WATCHER = "watcher"
_PORTS = range(20_000, 32_768)


@dataclass(frozen=True)
class LocalProcess:
    """What to run, and how to tell that it is ready.

    `command` gets the address (host:port) that it shall listen on; an empty one means that it listens nowhere. It is
    ready when it listens there and `is_ready`, which also gets the address, says yes. `settings` are those that a
    running one must have been started with. When one that `is_watched` dies by itself, the watcher starts it again.
    """

    name: str
    make_address: Callable[[], str]
    command: Callable[[str], Sequence[str]]
    is_watched: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str | int | None] = field(default_factory=dict)
    is_ready: Callable[[str], bool] = lambda _: True
    timeout_s: float = 60.0

    def ensure(self) -> Running:
        """Start the process unless it runs; returns when it is ready. Two commands that call this at once start one.

        Raises:
            Conflict: when it was started from another Python environment or with other settings, or its port is in use.
            Unavailable: when it ends at once or does not get ready, with its last words.
        """
        (running,) = ensure_all(self)
        return running

    def _begin(self) -> "_Beginning":
        known = read_state(self.name)
        if known is None or known.process() is None:
            if known is not None:
                stop(known)  # it died; what it started may live on and hold its ports
            return self._start()
        self._check_same(known)
        # Whoever started it may have been interrupted before it was ready.
        return _Beginning(
            known,
            False,
            lambda: _answers_at(known.address) and self.is_ready(known.address),
            lambda: known.process() is not None,
            self.timeout_s,
        )

    def _check_same(self, running: Running) -> None:
        if running.environment != sys.prefix:
            raise Conflict(
                f"The {self.name} of this PLAIT_HOME was started from another environment ({running.environment}).",
                "Run 'plait stop' first, or set another PLAIT_HOME.",
            )
        for name, value in self.settings.items():
            # A setting that nobody set is no wish: the running one's value is as good.
            if name in settings().model_fields_set and running.settings.get(name, value) != value:
                raise Conflict(
                    f"The {self.name} of this PLAIT_HOME runs with PLAIT_{name.upper()}={running.settings[name]}, "
                    f"not {value}.",
                    "Run 'plait stop' first, or unset it.",
                )

    def _start(self) -> "_Beginning":
        address = self.make_address()
        command = self.command(address)
        child, running = launch(self.name, address, command, self.environment, self.settings, self.is_watched)
        return _Beginning(running, True, lambda: self._is_up(running), lambda: child.poll() is None, self.timeout_s)

    def _is_up(self, running: Running) -> bool:
        if not (_answers_at(running.address) and self.is_ready(running.address)):
            return False
        # Whether the port is its own: another process may have taken it since it was found free. Asked last, for it
        # looks at every process of the machine.
        return not running.address or running.listens_on(_port(running.address))


@dataclass(frozen=True)
class _Beginning:
    """A process that runs and may not be ready yet."""

    running: Running
    is_new: bool
    is_ready: Callable[[], bool]
    is_alive: Callable[[], bool]
    timeout_s: float

    def wait(self) -> Running:
        """Return when it is ready.

        Raises:
            Unavailable: when it ends, or does not get ready in time.
        """
        name = self.running.name
        log = settings().local_dir / f"{name}.log"
        deadline = time.monotonic() + self.timeout_s
        while not self.is_ready():
            if not self.is_alive():
                raise Unavailable(f"{name} ended at once ({_last_words(log)}).", f"Its log: {log}")
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{name} (process {self.running.pid}) was not ready after {self.timeout_s:.0f} s.",
                    f"Its log: {log}; run 'plait stop' and try again.",
                )
            time.sleep(0.1)
        return self.running


def ensure_all(*wanted: LocalProcess, meanwhile: Callable[[], object] = lambda: None) -> list[Running]:
    """`LocalProcess.ensure` for several: those that do not run are started at once and get ready side by side.

    `meanwhile` is called while they do. When one of them does not start, those that were started for it are ended.
    """
    settings().local_dir.mkdir(parents=True, exist_ok=True)
    begun: list[_Beginning] = []
    with ExitStack() as locks:
        for process in wanted:
            locks.enter_context(lock(process.name))
        locks.enter_context(_ended_on_failure(begun))
        for process in wanted:
            begun.append(process._begin())
        new = " and ".join(beginning.running.name for beginning in begun if beginning.is_new)
        with _told(f"starting {new}") if new else nullcontext():
            if new:
                meanwhile()
            running = [beginning.wait() for beginning in begun]
    if any(process.is_watched for process in wanted):
        _watcher().ensure()
    if not new:
        meanwhile()  # others need not wait for it
    return running


@contextmanager
def _ended_on_failure(begun: "Sequence[_Beginning]") -> Iterator[None]:
    """Leave nothing of a start that fails or is interrupted; what ran before stays."""
    try:
        yield
    except BaseException:
        for beginning in begun:
            if beginning.is_new:
                stop(beginning.running)
        raise


def _watcher() -> LocalProcess:
    return LocalProcess(
        name=WATCHER,
        make_address=lambda: "",
        command=lambda _: [sys.executable, "-m", "plait.local.watcher"],
    )


def launch(
    name: str,
    address: str,
    command: Sequence[str],
    variables: Mapping[str, str],
    started_with: Mapping[str, str | int | None],
    is_watched: bool,
    is_again: bool = False,
) -> "tuple[subprocess.Popen[bytes], Running]":
    """Start a process and remember it; it may not be ready yet. `is_again`: what the last one said is kept."""
    folder = settings().local_dir
    environment = {**os.environ, **settings_variables(), **variables}
    # It would make every user of prometheus_client in there, Ray's agent for one, write into our metrics.
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    with (folder / f"{name}.log").open("ab" if is_again else "wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            # Ctrl-C in a terminal ends the command, not the servers; and its children are known by the session.
            start_new_session=True,
        )
    created_at = psutil.Process(child.pid).create_time()
    running = Running(name, child.pid, created_at, address, sys.prefix, started_with)
    if is_watched:
        running = replace(running, command=tuple(command), variables=dict(variables))
    # Written before it is ready, so that whatever happens now, 'plait stop' still finds it.
    write_state(running)
    return child, running


def free_port() -> int:
    """A port of the loopback interface that nothing listens on, nobody configured, and no connection gets by chance.

    Connections get theirs from 32768 on (Linux) or higher, Ray's workers below 20000 (`ray_head`): one from there could
    be in use again before the process that it is for listens on it.
    """
    configured = settings().ports.values()
    port = secrets.choice(_PORTS)
    while port in configured or _bind_error(port, "127.0.0.1"):
        port = secrets.choice(_PORTS)
    return port


def check_port_is_free(port: int, bind: str, setting: str) -> None:
    """Find out now, not in a log later, that a port cannot be listened on.

    Raises:
        Conflict: when the port is taken; names who listens there and the setting to change.
        InvalidInput: when this machine has no such address, or the port needs other rights.
    """
    error = _bind_error(port, bind)
    if error == errno.EADDRINUSE:
        raise Conflict(f"Port {port} is in use{_listener(port)}.", f"Stop it, or set {setting} to another port.")
    if error is not None:
        raise InvalidInput(
            f"{bind}:{port} cannot be listened on ({os.strerror(error)}).", f"Correct PLAIT_BIND or {setting}."
        )


def is_free(port: int, bind: str) -> bool:
    """Whether a port can be listened on."""
    return _bind_error(port, bind) is None


def answers(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def _answers_at(address: str) -> bool:
    return not address or answers(address.rpartition(":")[0], _port(address))


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _bind_error(port: int, bind: str) -> int | None:
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno
    return None


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            is_there = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
            if is_there and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:  # it has just ended, or this system does not let us look
        pass
    return ""


def _told(what: str) -> AbstractContextManager[object]:
    """Say that something takes a while: with a spinner on a terminal, in a line elsewhere."""
    console = _console(library_output.stderr())
    if not console.is_terminal:
        console.print(what)
    return console.status(what)


@cache
def _console(file: TextIO) -> "Console":
    """One a file: spinners of two would draw over each other, when Milvus starts while Ray does."""
    from rich.console import Console

    return Console(file=file)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
