"""What libraries say goes to a file; it is named when the command fails, and gone when it does not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings

from plait import library_output
from plait.cli import main
from plait.errors import InvalidInput, PlaitError
from plait.local import ray_messages
from plait.models import source

CHATTY = """
import logging, os, subprocess, sys, warnings
from tqdm import tqdm
from plait import library_output

with library_output.restored():
    library_output.set_aside("chatty")
    os.write(2, b"core_worker.cc:2465: an error of C++\\n")
    subprocess.run([sys.executable, "-c", "import sys; print('a child', file=sys.stderr)"])
    warnings.warn("a warning")
    logging.getLogger("some.library").error("a record")
    logging.getLogger("plait.index.collection").warning("our warning")
    logging.getLogger("plait.index.collection").info("a detail")
    for _ in tqdm(range(3), desc="Loading weights"):
        pass
    print("ours", flush=True)
    print("ours too", file=library_output.stderr())
    sys.exit({code})
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with changed_settings(home=tmp_path):
        yield tmp_path


@pytest.mark.parametrize("code", [0, 1])
def test_only_our_own_lines_are_printed(code: int, home: Path) -> None:
    command = [sys.executable, "-c", CHATTY.format(code=code)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "ours\n", "our warning\nours too\n")
    files = list((home / "logs").glob("chatty-*.log"))
    if code == 0:
        assert files == []
    else:
        (file,) = files
        assert file.stat().st_mode & 0o077 == 0
        said = file.read_text(encoding="utf-8")
        for words in ("an error of C++", "a child", "a warning", "a record", "Loading weights"):
            assert words in said
        assert not file.name.endswith(".running.log")


def failing(error: Exception, says: bytes) -> Any:
    def train(*_: object) -> None:
        library_output.set_aside("train")
        os.write(2, says)
        raise error

    return train


@pytest.mark.parametrize(
    ("error", "says", "is_named"),
    [
        pytest.param(PlaitError("It broke."), b"why", True, id="failed"),
        pytest.param(PlaitError("It broke."), b"", False, id="nothing said"),
        pytest.param(KeyError("x"), b"why", True, id="a bug"),
        pytest.param(InvalidInput("It is wrong."), b"why", False, id="what the user gave"),
    ],
)
def test_the_file_is_named_where_it_may_help(
    error: Exception,
    says: bytes,
    is_named: bool,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plait.recipes.load_recipe", failing(error, says))
    with pytest.raises(SystemExit):
        main(["train", "qlora"])
    files = list((home / "logs").glob("*.log"))
    named = f"What libraries said meanwhile: {files[0]}\n" if is_named else ""
    assert len(files) == is_named
    assert capsys.readouterr().err.partition("\n")[2].endswith(named)


def test_files_of_failed_commands_do_not_pile_up(home: Path) -> None:
    (home / "logs").mkdir()
    for number in range(30):
        file = home / "logs" / f"old-{number:02}.log"
        file.touch()
        os.utime(file, (number, number))
    with pytest.raises(KeyError), library_output.restored():  # noqa: PT012
        library_output.set_aside("new")
        os.write(2, b"said")
        raise KeyError
    kept = {file.name for file in (home / "logs").glob("*.log")}
    assert len(kept) == 20
    assert "old-29.log" in kept


def test_the_file_of_a_command_that_runs_is_kept(home: Path) -> None:
    (home / "logs").mkdir()
    running = home / "logs" / f"serve-20260101-000000-{os.getppid()}.running.log"
    for number, file in enumerate([running, *(home / "logs" / f"old-{number:02}.log" for number in range(30))]):
        file.touch()
        os.utime(file, (number, number))
    with library_output.restored():
        library_output.set_aside("new")
    assert running.exists()
    assert not (home / "logs" / "old-00.log").exists()


CUT_OFF = """
import os
from plait import library_output

with library_output.restored():
    library_output.set_aside("cut")
    os.write(2, {says})
    {ends}
"""


@pytest.mark.parametrize("ends", ["os.abort()", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_a_command_that_is_cut_off_is_named_once_by_the_next(ends: str, home: Path) -> None:
    cut_off = CUT_OFF.format(says=b"the control store is gone", ends=ends)
    subprocess.run([sys.executable, "-c", cut_off], capture_output=True, check=False)
    next_command = [sys.executable, "-c", CUT_OFF.format(says=b"", ends="pass")]
    told = subprocess.run(next_command, capture_output=True, text=True, check=True).stderr
    (file,) = (home / "logs").glob("*.log")
    assert told == f"An earlier command was cut off; what libraries said in it: {file}\n"
    assert subprocess.run(next_command, capture_output=True, text=True, check=True).stderr == ""


def test_status_names_a_command_that_was_cut_off(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run([sys.executable, "-c", CUT_OFF.format(says=b"gone", ends="os._exit(1)")], check=False)
    with pytest.raises(SystemExit):
        main(["status"])
    (file,) = (home / "logs").glob("*.log")
    assert capsys.readouterr().err == f"An earlier command was cut off; what libraries said in it: {file}\n"


def test_with_debug_everything_stays_on_standard_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_DEBUG", "1")
    with library_output.restored():
        library_output.set_aside("train")
        assert library_output.stderr() is sys.stderr
    assert not (home / "logs").exists()


def test_outside_of_a_command_line_nothing_is_redirected(home: Path) -> None:
    library_output.set_aside("train")
    assert library_output.stderr() is sys.stderr
    assert not (home / "logs").exists()


def test_what_rays_daemons_say_goes_to_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker: Any = import_module("ray._private.worker")
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    # What is replaced is what the listener calls.
    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names
    ray_messages.send_to_standard_error()
    worker.print_to_stdstream({"lines": ["8 workers"], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    assert capsys.readouterr() == ("", "(raylet) 8 workers\n")


def test_a_download_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    import_module("plait.models.load")  # it turns the bars of transformers off, and with them the hub's own
    bar = source._bar()
    for _ in bar(range(3), desc="Fetching 3 files"):
        pass
    assert capsys.readouterr().err == ""
    ours, terminal = os.openpty()
    os.set_blocking(ours, False)
    with os.fdopen(terminal, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_output, "stderr", lambda: stream)
        for _ in source._bar()(range(3), desc="Fetching 3 files"):
            pass
        stream.flush()
        assert b"Fetching 3 files" in os.read(ours, 10_000)
    os.close(ours)
