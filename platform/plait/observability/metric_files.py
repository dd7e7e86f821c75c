"""The files in the metrics folder: which process writes each of them, and whether it still lives.

prometheus_client's multiprocess mode names them `<type>_<pid>.db` and `gauge_<mode>_<pid>.db`. Nothing here opens one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import psutil

_NAME = re.compile(r"(?:counter|histogram|summary|gauge_[a-z]+)_(\d+)\.db")


def metric_files(folder: Path) -> Iterator[Path]:
    """The files of all processes, those not yet begun left out."""
    for file in folder.glob("*.db"):
        # A process that was killed while it made its file leaves an empty one, which cannot be read.
        if _NAME.fullmatch(file.name) and _size(file) > 0:
            yield file


def drop_files_of_ended_processes(folder: Path, only_live_gauges: bool = False) -> None:
    """Delete what ended processes wrote: all of it, or the gauges that count only while their process lives."""
    for file in folder.glob("gauge_live*.db" if only_live_gauges else "*.db"):
        named = _NAME.fullmatch(file.name)
        if named and not _writer_lives(file, int(named[1])):
            file.unlink(missing_ok=True)


def _writer_lives(file: Path, pid: int) -> bool:
    try:
        # A process that began after the last write has the id of the one that wrote. One second: clocks are rounded.
        return psutil.Process(pid).create_time() <= file.stat().st_mtime + 1
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
