"""A process that was started on this machine: whether it still lives, what belongs to it, and how it is ended.

Ids are used again, so a process is its id together with its start time; and what it started is known by its session,
so that it is found even when the process itself was killed. It knows nothing of files or settings.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from plait.errors import PlaitError

_STOP_GRACE_S = 5.0
_KILLED_WITHIN_S = 5.0
# Boot time is known to whole seconds only, and its rounding may differ between two looks.
_CLOCK_SLACK_S = 1.5


@dataclass(frozen=True)
class Running:
    """A process that was started as the leader of a session of its own, and where it listens."""

    name: str
    pid: int
    created_at: float
    address: str
    """host:port; empty for one that listens nowhere."""
    environment: str
    """The Python environment (`sys.prefix`) that started it."""
    settings: Mapping[str, str | int | None] = field(default_factory=dict)
    """The settings it was started with, by their names in `Settings`."""
    command: tuple[str, ...] = ()
    """What starts it again when it dies by itself; empty: nothing does."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What that wants in its environment."""
    booted_at: float = field(default_factory=psutil.boot_time)
    """When the machine started, by the clock of then: a start time counts from it, so that a clock set anew
    (a resumed virtual machine) does not make a live process look like another one."""

    def process(self) -> psutil.Process | None:
        """The live process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            return process if self._is(process) and _lives(process) else None
        except psutil.NoSuchProcess:
            return None

    def family(self) -> list[psutil.Process]:
        """What lives of the process and of all that it started, also when it has died and left others behind."""
        members: dict[int, psutil.Process] = {}
        try:
            leader = psutil.Process(self.pid)
            if not self._is(leader):
                # The id would not be free for somebody else while any process of the session lives.
                return []
            members = {process.pid: process for process in [leader, *leader.children(recursive=True)]}
        except psutil.NoSuchProcess:
            pass  # it has ended; its session may not have
        members |= {p.pid: p for p in psutil.process_iter() if _session(p.pid) == self.pid}
        return [member for member in members.values() if _lives(member)]

    def listens_on(self, port: int) -> bool:
        """Whether the process or one that it started listens on a port."""
        for member in self.family():
            try:
                sockets = member.net_connections(kind="tcp")
            except psutil.Error:  # it has ended, or changed its user
                continue
            if any(s.status == psutil.CONN_LISTEN and getattr(s.laddr, "port", None) == port for s in sockets):
                return True
        return False

    def memory_bytes(self) -> int:
        """Resident memory of the process and of all that it started; pages that they share count for each."""
        total = 0
        for member in self.family():
            with suppress(psutil.Error):  # it has ended
                total += member.memory_info().rss
        return total

    def end(self) -> None:
        """End the process and all that it started: asked first, killed when it has not ended in time.

        Raises:
            PlaitError: when it belongs to another user.
        """
        family = self.family()
        try:
            # All at once: asked alone, a Ray head with live actors was not gone after 28 s. Its workers end within
            # one second when they are asked too, and its raylet then waits ten more for nothing.
            for member in family:
                _signal(member.terminate)
            psutil.wait_procs(family, timeout=_STOP_GRACE_S)
            # Looked up anew: it may have started others while it ended.
            survivors = _living([*family, *self.family()])
            for survivor in survivors:
                _signal(survivor.kill)
            psutil.wait_procs(survivors, timeout=_KILLED_WITHIN_S)
        except psutil.AccessDenied:
            raise PlaitError(
                f"{self.name} (process {self.pid}) belongs to another user.", "Stop it as that user."
            ) from None

    def _is(self, process: psutil.Process) -> bool:
        up_then, up_now = self.created_at - self.booted_at, process.create_time() - psutil.boot_time()
        return abs(up_then - up_now) < _CLOCK_SLACK_S


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # it has ended
        return None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in {p.pid: p for p in processes}.values() if _lives(process)]


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:  # it ended meanwhile, as it should
        return
