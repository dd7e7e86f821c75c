"""What Plait started on this machine, as every command finds it: one file a process, `PLAIT_HOME/local/<name>.json`.

The file is there from the start of a process until it is stopped. So a process that is dead while its file is there has
died by itself.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from plait.local.running import Running
from plait.settings import settings
from plait.whole_files import write_whole

_WAIT_FOR_LOCK_S = 2.0


def find_running(name: str) -> Running | None:
    """A process by its name, if it is alive."""
    known = read_state(name)
    return known if known is not None and known.process() else None


def find_remains(name: str) -> Running | None:
    """A process by its name, if it or anything that it started is alive."""
    known = read_state(name)
    return known if known is not None and known.family() else None


def stop(running: Running) -> None:
    """End a process and all that it started, and forget it.

    Raises:
        PlaitError: when it belongs to another user.
    """
    _let_it_end(running)
    running.end()
    known = read_state(running.name)
    if known is not None and known.pid == running.pid:  # another command may have started a new one meanwhile
        _file(running.name).unlink(missing_ok=True)


def _let_it_end(running: Running) -> None:
    """Have nobody start it again."""
    try:
        with lock(running.name).acquire(timeout=_WAIT_FOR_LOCK_S):
            known = read_state(running.name)
            if known is not None and known.pid == running.pid:
                write_state(replace(known, command=()))
    except Timeout:  # a command waits for it to be ready: it is alive, so the watcher leaves it
        return


def lock(name: str) -> BaseFileLock:
    """Held by whoever starts the process or forgets it. Taken twice by one thread, it is held once more."""
    return FileLock(settings().local_dir / f"{name}.lock", is_singleton=True)


def known_names() -> Iterator[str]:
    """Names of the processes that were started and not stopped."""
    for file in sorted(settings().local_dir.glob("*.json")):
        yield file.stem


def read_state(name: str) -> Running | None:
    try:
        state = json.loads(_file(name).read_text(encoding="utf-8"))
        return Running(**state | {"command": tuple(state.get("command", ()))})
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def write_state(running: Running) -> None:
    write_whole(_file(running.name), json.dumps(asdict(running)))


def _file(name: str) -> Path:
    return settings().local_dir / f"{name}.json"
