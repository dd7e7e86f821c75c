"""What libraries say while a command runs: into a file, so that the command prints Plait's own lines only.

Standard error as such (descriptor 2) becomes the file's. So C++ code, as Ray's core worker, writes there, and so do
Python's warnings, loggers and progress bars. `stderr()` is where standard error was, for our own lines.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_KEPT = 20
"""Files of commands that failed."""


class _Command:
    """A command line that `restored` runs; it has a file, and a standard error of its own, once `set_aside` ran."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.stderr: TextIO | None = None


_command: _Command | None = None
_left: Path | None = None


@contextmanager
def restored() -> Iterator[None]:
    """Let `set_aside` work in the block, and put standard error back at its end.

    The file is left when the block fails; `left` names it.
    """
    global _command
    command = _command = _Command()
    failed = True
    try:
        yield
        failed = False
    except SystemExit as ended:
        failed = bool(ended.code)
        raise
    finally:
        _command = None
        _restore(command, failed)


def set_aside(name: str) -> None:
    """Begin to write what libraries say into `PLAIT_HOME/logs/NAME-….log`.

    Does nothing with --debug, where everything is wanted on the terminal, and outside a command line.
    """
    if _command is None or _command.file is not None or "PLAIT_DEBUG" in os.environ:
        return
    from plait.settings import settings

    folder = settings().root / "logs"
    file = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _drop_old(folder)
        written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:  # no place to write to: everything stays on standard error
        return
    sys.stderr.flush()
    _command.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    os.dup2(written, 2)
    os.close(written)
    _command.file = file


def stderr() -> TextIO:
    """Where our own lines go that do not belong to a command's output."""
    return (_command and _command.stderr) or sys.stderr


def left() -> Path | None:
    """The file with what libraries said in a command that failed; None when they said nothing."""
    return _left


def _restore(command: _Command, failed: bool) -> None:
    global _left
    _left = None
    if command.file is None or command.stderr is None:
        return
    sys.stderr.flush()
    os.dup2(command.stderr.fileno(), 2)
    command.stderr.close()
    with suppress(OSError):
        if failed and command.file.stat().st_size:
            _left = command.file
        else:
            command.file.unlink()


def _drop_old(folder: Path) -> None:
    files = sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime)
    for file in files[: -_KEPT + 1]:
        file.unlink(missing_ok=True)
