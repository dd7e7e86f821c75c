"""Files that are there whole or not at all.

In: what a file or a folder is to hold. Out: it, under its name, after it has reached the disk; a process that is killed
or a disk that is full leaves what was there before. It knows nothing of what is written.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plait.errors import InsufficientStorage

_ASIDE = ".part-"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# What is this young may be of a process that has not locked it yet.
_MIN_LEFTOVER_AGE_S = 60.0


def write_whole(file: Path, data: str | bytes, *, survives_power_cut: bool = True) -> None:
    """Put a file in its place, readable by its owner only.

    Args:
        file: its place.
        data: all of it.
        survives_power_cut: whether to wait until the disk has it; else a power cut may leave an empty file.

    Raises:
        InsufficientStorage: when the disk is full; a file that was there before is as it was.
    """
    with full_disk_told(file.parent):
        descriptor, name = tempfile.mkstemp(prefix=_ASIDE, dir=file.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as opened:
                fcntl.flock(opened, fcntl.LOCK_EX)
                opened.write(data.encode() if isinstance(data, str) else data)
                opened.flush()
                if survives_power_cut:
                    os.fsync(opened.fileno())
                os.replace(name, file)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
        if survives_power_cut:
            reach_disk(file.parent)


@contextmanager
def whole_folder(folder: Path, is_private: bool = True) -> Iterator[Path]:
    """A folder to fill, which gets its name at the end of the block; the files in it reach the disk first.

    `is_private`: other users of the machine cannot enter it.

    Raises:
        InsufficientStorage: when the disk is full.
    """
    with full_disk_told(folder.parent):
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=folder.parent))  # mode 0700
        lock = os.open(aside, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield aside
            for file in aside.rglob("*"):
                if file.is_file():
                    file.chmod(0o600 if is_private else 0o644)
                reach_disk(file)
            if not is_private:
                aside.chmod(0o755)
            aside.rename(folder)
        finally:
            os.close(lock)
            shutil.rmtree(aside, ignore_errors=True)
        reach_disk(folder.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; what somebody is writing now stays."""
    for aside in folder.glob(f"{_ASIDE}*"):
        with suppress(OSError):  # it was finished this very moment, or another machine is writing it
            if time.time() - aside.stat().st_mtime < _MIN_LEFTOVER_AGE_S:
                continue
            descriptor = os.open(aside, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if aside.is_dir():
                    shutil.rmtree(aside, ignore_errors=True)
                else:
                    aside.unlink()
            finally:
                os.close(descriptor)


def make_private(folder: Path) -> None:
    """Make a folder that other users of the machine cannot enter; one that is there is closed to them.

    Raises:
        InsufficientStorage: when the disk is full.
    """
    with full_disk_told(folder.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        with suppress(PermissionError):  # it is somebody else's, who let us in
            folder.chmod(0o700)


@contextmanager
def full_disk_told(where: Path) -> Iterator[None]:
    """Say in a sentence that the disk is full.

    Raises:
        InsufficientStorage: when it is.
    """
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise InsufficientStorage(
            f"The disk that holds '{where}' is full, and nothing was written.", "Make room there and try again."
        ) from error


def is_disk_full(error: BaseException | None) -> bool:
    """The disk, or what a user may have of it, is used up."""
    return isinstance(error, OSError) and error.errno in _FULL


def reach_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: not even a power cut takes them away."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
