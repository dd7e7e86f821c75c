"""The watcher: what died by itself is started again, what was stopped is not."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from changed_settings import changed_settings

from plait.local.process import WATCHER, LocalProcess, free_port
from plait.local.running import Running
from plait.local.stack import stop_all
from plait.local.state import find_running, known_names, lock, read_state, stop, write_state
from plait.local.watcher import Watcher, restart

LISTENER = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(os.environ["WHAT"], flush=True)
while True:
    server.accept()
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    with changed_settings(home=tmp_path):
        (tmp_path / "local").mkdir()
        yield tmp_path
        for name in list(known_names()):
            found = read_state(name)
            if found is not None:
                stop(found)


def listener(name: str, is_watched: bool = True) -> LocalProcess:
    return LocalProcess(
        name=name,
        is_watched=is_watched,
        make_address=lambda: f"127.0.0.1:{free_port()}",
        command=lambda address: [sys.executable, "-S", "-c", LISTENER, address.rpartition(":")[2]],
        environment={"WHAT": name},
    )


def started(name: str) -> Running:
    """One that is watched, without the watcher itself."""
    running = listener(name, is_watched=False).ensure()
    process = psutil.Process(running.pid)
    command = tuple(process.cmdline())
    watched = Running(**{**vars(running), "command": command, "variables": {"WHAT": name}})
    write_state(watched)
    return watched


def kill(running: Running) -> None:
    process = running.process()
    assert process is not None
    process.kill()
    process.wait(10)


def until(is_so: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def dead(name: str) -> Running:
    """What is left of a process that died."""
    gone = Running(name, 1, 0.0, "127.0.0.1:1", sys.prefix, command=("true",))
    write_state(gone)
    return gone


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


# ------------------------------------------------------------ one process


def test_a_killed_process_is_started_again_at_its_address_with_its_environment(home: Path) -> None:
    first = started("heron")
    kill(first)
    assert restart("heron")
    second = find_running("heron")
    assert second is not None
    assert (second.pid != first.pid, second.address, second.command) == (True, first.address, first.command)
    until(lambda: (home / "local/heron.log").read_text().split() == ["heron", "heron"])  # of both: its log is kept
    with socket.create_connection(("127.0.0.1", int(second.address.rpartition(":")[2])), timeout=1):
        pass
    process = second.process()
    assert process is not None
    assert process.ppid() != os.getpid()  # it must outlive the watcher


def test_what_was_stopped_is_not_started_again() -> None:
    running = started("heron")
    stop(running)
    assert not restart("heron")
    assert read_state("heron") is None


def test_what_is_being_stopped_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    running = started("heron")
    ended = Running.end

    def end_slowly(self: Running) -> None:
        ended(self)
        assert not restart("heron")  # it is dead now, and its file is there still

    monkeypatch.setattr(Running, "end", end_slowly)
    stop(running)
    assert find_running("heron") is None


def test_what_lives_is_left_alone() -> None:
    running = started("heron")
    assert not restart("heron")
    assert find_running("heron") == running


def test_what_a_command_is_about_to_start_is_left_to_it() -> None:
    running = started("heron")
    kill(running)
    with lock("heron"):
        assert not restart("heron")


def test_one_that_is_not_watched_is_not_started_again() -> None:
    running = listener("heron", is_watched=False).ensure()
    kill(running)
    assert not restart("heron")


# ------------------------------------------------------------ when


def test_a_process_that_dies_again_and_again_is_started_ever_more_seldom() -> None:
    dead("heron")
    clock, starts = Clock(), []

    def start(name: str) -> bool:
        starts.append(clock.now_s - 1000)
        return True

    watcher = Watcher(start, clock)
    for _ in range(400):
        watcher.look()
        clock.now_s += 0.5
    assert starts == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_one_that_came_back_for_long_is_started_at_once_when_it_dies_the_next_time() -> None:
    dead("heron")
    clock, starts = Clock(), []
    watcher = Watcher(lambda name: not starts.append(clock.now_s), clock)  # type: ignore[func-returns-value]
    for now_s in (1000, 1001, 1003, 1100, 1101):
        clock.now_s = now_s
        watcher.look()
    assert starts == [1000, 1001, 1003, 1100, 1101]


def test_processes_wait_for_each_their_own() -> None:
    dead("heron")
    clock, starts = Clock(), []
    watcher = Watcher(lambda name: not starts.append(name), clock)  # type: ignore[func-returns-value]
    watcher.look()
    dead("cat")
    watcher.look()
    assert starts == ["heron", "cat"]


# ------------------------------------------------------------ the watcher itself


def test_the_watcher_brings_processes_back_and_is_itself_brought_back_by_the_next_command() -> None:
    first = listener("heron").ensure()
    watcher = find_running(WATCHER)
    assert watcher is not None
    assert not watcher.address
    kill(first)
    until(lambda: (again := find_running("heron")) is not None and again.pid != first.pid)

    kill(watcher)
    second = find_running("heron")
    assert second is not None  # it did not end with the watcher
    kill(second)
    listener("cat").ensure()
    until(lambda: find_running("heron"))
    assert find_running(WATCHER) is not None


def test_stopping_everything_stops_the_watcher_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.local.stack._NAMES", (WATCHER, "heron"))
    listener("heron").ensure()
    assert [running.name for running in stop_all()] == [WATCHER, "heron"]
    time.sleep(1.5)
    assert find_running("heron") is None
    assert find_running(WATCHER) is None
