"""What libraries say while a command runs: into a file, so that the command prints Plait's own lines only.

Standard error as such (descriptor 2) becomes the file's. So C++ code, as Ray's core worker, writes there, and so do
Python's warnings, loggers and progress bars. `stderr()` is where standard error was, for our own lines; Plait's own
loggers write there, too.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_KEPT = 20
"""Files of commands that failed."""
_RUNNING = ".running.log"
"""How the name of a file ends while its command runs, after the process' id."""


class _Command:
    """A command line that `restored` runs; it has a file, and a standard error of its own, once `set_aside` ran."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.stderr: TextIO | None = None
        self.handler: logging.Handler | None = None


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
    file = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}{_RUNNING}"
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
    _command.handler = logging.StreamHandler(_command.stderr)
    _command.handler.setLevel(logging.WARNING)
    ours = logging.getLogger("plait")
    ours.addHandler(_command.handler)
    ours.propagate = False
    for line in cut_off():
        print(line, file=_command.stderr)


def stderr() -> TextIO:
    """Where our own lines go that do not belong to a command's output."""
    return (_command and _command.stderr) or sys.stderr


def cut_off() -> list[str]:
    """A line, given once, for each command that ended before it could name its file, as C++ or the kernel end one."""
    from plait.settings import settings

    lines = []
    for file in sorted((settings().root / "logs").glob(f"*{_RUNNING}")):
        if _runs(file):
            continue
        with suppress(OSError):  # another command may be at it
            if file.stat().st_size:
                lines.append(f"An earlier command was cut off; what libraries said in it: {_ended(file)}")
            else:
                file.unlink()
    return lines


def left() -> Path | None:
    """The file with what libraries said in a command that failed; None when they said nothing."""
    return _left


def _restore(command: _Command, failed: bool) -> None:
    global _left
    _left = None
    if command.file is None or command.stderr is None:
        return
    ours = logging.getLogger("plait")
    if command.handler is not None:
        ours.removeHandler(command.handler)
    ours.propagate = True
    sys.stderr.flush()
    os.dup2(command.stderr.fileno(), 2)
    command.stderr.close()
    with suppress(OSError):
        if failed and command.file.stat().st_size:
            _left = _ended(command.file)
        else:
            command.file.unlink()


def _ended(file: Path) -> Path:
    return file.rename(file.with_name(file.name.removesuffix(_RUNNING) + ".log"))


def _runs(file: Path) -> bool:
    """Whether the command that writes a file of a running one is still there."""
    pid = file.name.removesuffix(_RUNNING).rpartition("-")[2]
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _drop_old(folder: Path) -> None:
    ended = [file for file in folder.glob("*.log") if not (file.name.endswith(_RUNNING) and _runs(file))]
    ended.sort(key=lambda file: file.stat().st_mtime)
    for file in ended[: -_KEPT + 1]:
        file.unlink(missing_ok=True)
