"""The watcher: starts again, at the same address, what Plait started on this machine and what died by itself.

Run as `python -m plait.local.watcher`, one a PLAIT_HOME, by whichever command starts what is watched. It knows of
deaths by the files of `state`: what was stopped has none. It listens nowhere, and does not know what is served.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from filelock import Timeout

from plait.local.process import WATCHER, launch
from plait.local.running import Running
from plait.local.state import known_names, lock, read_state
from plait.observability import metrics

_LOOK_EVERY_S = 0.5
_KNOWN_WITHIN_S = 10.0
_LONGEST_PAUSE_S = 60.0
_SOUND_AFTER_S = 60.0
"""One that lives so long after a restart has come back: its next death is a first one."""


@dataclass
class _Restarts:
    """How often one process was started again in a row, and when it may be the next time."""

    in_a_row: int = 0
    last_at: float = -float("inf")

    def is_due(self, now: float) -> bool:
        """At once after a first death; then 1 s, 2 s, 4 s, … later than the last time."""
        if now - self.last_at >= _SOUND_AFTER_S + self._pause_s():
            self.in_a_row = 0
        return now - self.last_at >= self._pause_s()

    def add(self, now: float) -> None:
        self.in_a_row, self.last_at = self.in_a_row + 1, now

    def _pause_s(self) -> float:
        return min(_LONGEST_PAUSE_S, 2.0 ** (self.in_a_row - 1)) if self.in_a_row else 0.0


class Watcher:
    """Looks after the processes of one PLAIT_HOME.

    Args:
        restart: starts a process again by its name, and says whether it did.
        clock: seconds.
    """

    def __init__(self, restart: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._restart, self._clock = restart, clock
        self._restarts: dict[str, _Restarts] = {}

    def look(self) -> None:
        """Start again what has died and is due, and record how every process is."""
        for name in known_names():
            known = read_state(name)
            if known is None or name == WATCHER:
                continue
            metrics.PROCESS_UP.labels(name).set(known.process() is not None)
            if not known.command:
                continue
            restarted = metrics.PROCESS_RESTARTS.labels(name)  # also before the first: rates need a beginning
            if known.process() is None and self._try(known):
                restarted.inc()

    def _try(self, dead: Running) -> bool:
        restarts, now = self._restarts.setdefault(dead.name, _Restarts()), self._clock()
        if not restarts.is_due(now) or not self._restart(dead.name):
            return False
        restarts.add(now)
        print(f"{dead.name} (process {dead.pid}) died and is started again at {dead.address}", flush=True)
        return True


def restart(name: str) -> bool:
    """Start a process again as it was started, unless it lives, was stopped, or a command is about to do it."""
    # In a process that ends at once, so that the new one is nobody's child: it does not end with the watcher.
    starter = multiprocessing.get_context("fork").Process(target=_start_again, args=(name,))
    starter.start()
    starter.join()
    return starter.exitcode == 0


def _start_again(name: str) -> None:
    try:
        with lock(name).acquire(timeout=0):
            dead = read_state(name)
            if dead is None or not dead.command or dead.process() is not None:
                raise SystemExit(1)
            dead.end()  # what it started may live on and hold its ports
            launch(name, dead.address, dead.command, dead.variables, dead.settings, is_watched=True, is_again=True)
    except Timeout:
        raise SystemExit(1) from None


def watch() -> None:
    """Look again and again, until this watcher is forgotten or another one is in its place."""
    watcher = Watcher(restart)
    deadline = time.monotonic() + _KNOWN_WITHIN_S  # whoever started this writes its file a moment later
    while _is_known() or time.monotonic() < deadline:
        watcher.look()
        time.sleep(_LOOK_EVERY_S)


def _is_known() -> bool:
    known = read_state(WATCHER)
    return known is not None and known.pid == os.getpid()


if __name__ == "__main__":
    watch()
