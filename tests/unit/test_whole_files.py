"""Files that are there whole or not at all: on a full disk, after a kill, and closed to others."""

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from changed_settings import changed_settings

from plait import whole_files
from plait.errors import InsufficientStorage
from plait.settings import settings
from plait.whole_files import make_private, remove_leftovers, whole_folder, write_whole

DISK_BYTES = 64 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_on_a_full_disk_a_file_stays_as_it_was(small_disk: Path) -> None:
    file = small_disk / "state.json"
    write_whole(file, "before")
    with pytest.raises(InsufficientStorage, match="is full, and nothing was written"):
        write_whole(file, "x" * 2 * DISK_BYTES)
    assert [(path.name, path.read_text()) for path in small_disk.iterdir()] == [("state.json", "before")]


def test_on_a_full_disk_a_folder_is_not_begun(small_disk: Path) -> None:
    with pytest.raises(InsufficientStorage), whole_folder(small_disk / "new") as folder:
        (folder / "a").write_bytes(b"x" * 2 * DISK_BYTES)
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_it_is_flushed_leaves_nothing(
    reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(_: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(whole_files.os, "fsync", is_full)
    with pytest.raises(InsufficientStorage):
        write_whole(tmp_path / "state.json", "x")
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_closed_to_other_users(tmp_path: Path) -> None:
    write_whole(tmp_path / "state.json", b"x")
    with whole_folder(tmp_path / "new") as folder:
        (folder / "a").write_text("x")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"state.json": 0o600, "new": 0o700, "a": 0o600}
    make_private(tmp_path / "other" / "deep")
    (tmp_path / "open").mkdir(mode=0o755)
    make_private(tmp_path / "open")
    assert (tmp_path / "other" / "deep").stat().st_mode & 0o777 == (tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_leftovers_of_killed_processes_are_removed_and_what_is_being_written_stays(tmp_path: Path) -> None:
    long_ago = time.time() - 3600
    (tmp_path / ".part-file").write_text("half")
    (tmp_path / ".part-folder").mkdir()
    (tmp_path / ".part-folder" / "a").write_text("half")
    for left in tmp_path.iterdir():
        os.utime(left, (long_ago, long_ago))
    (tmp_path / ".part-young").write_text("half")
    with whole_folder(tmp_path / "new") as folder:
        os.utime(folder, (long_ago, long_ago))
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {".part-young", folder.name}


def test_a_home_that_plait_makes_is_closed_to_other_users(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path / "home"):
        assert settings().root.stat().st_mode & 0o777 == 0o700
