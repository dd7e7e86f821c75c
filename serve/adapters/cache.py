"""The disk tier: folders that were fetched from afar, each under the hash of its content, the least used deleted.

In: a content key and a function that fills an empty folder. Out: the folder, whole or not there at all. Several
processes of a machine share it. It does not know where contents come from.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from plait.whole_files import whole_folder

_KEEP_S = 60.0
"""Folders used so recently are never deleted: an engine may be reading them."""


class AdapterCache:
    """Folders by content key, `max_bytes` of them at most.

    Args:
        root: where they lie; made when needed.
        max_bytes: size from which the least recently used are deleted.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root, self._max_bytes = root, max_bytes

    def folder(self, content_key: str, fill: Callable[[Path], None]) -> Path:
        """The folder of a content, filled the first time by `fill(empty_folder)`; one process fills, others wait.

        Raises:
            Whatever `fill` raises; then nothing stays behind.
        """
        name = hashlib.sha256(content_key.encode()).hexdigest()[:32]
        self._root.mkdir(parents=True, exist_ok=True)
        folder = self._root / name
        with FileLock(self._root / f"{name}.lock"):
            if not folder.is_dir():
                with whole_folder(folder) as aside:
                    fill(aside)
            os.utime(folder)  # the time of the last use, by which the least used are found
        self._shrink()
        return folder

    def _shrink(self) -> None:
        with FileLock(self._root / "shrink.lock"):
            folders = sorted((f for f in self._root.iterdir() if f.is_dir()), key=_used_at)
            sizes = {folder: _size(folder) for folder in folders}
            total = sum(sizes.values())
            for folder in folders:
                if total <= self._max_bytes or time.time() - _used_at(folder) < _KEEP_S:
                    return
                shutil.rmtree(folder, ignore_errors=True)
                total -= sizes[folder]


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # a partial folder that just became whole
        return time.time()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("**/*") if file.is_file())
