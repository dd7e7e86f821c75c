"""Processes of ours on this machine: one of each, found again, ended for sure."""

import multiprocessing
import socket
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from plait.errors import Conflict, Unavailable
from plait.local import stack
from plait.local.milvus import milvus_uri
from plait.local.process import LocalProcess, Running, answers, check_port_is_free, find_running, free_port, stop
from plait.settings import settings

LISTENER = """
import signal, socket, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()
"""


def listener(name: str, *flags: str, code: str = LISTENER, timeout_s: float = 20.0) -> LocalProcess:
    return LocalProcess(
        name=name,
        make_address=lambda: str(free_port()),
        command=lambda port: [sys.executable, "-c", code, port, *flags],
        is_ready=lambda port: answers("127.0.0.1", int(port)),
        environment={},
        timeout_s=timeout_s,
    )


def start_in_another_process(name: str, found: "multiprocessing.Queue[int]") -> None:
    found.put(listener(name).ensure().pid)


def test_a_process_is_started_once_and_found_again() -> None:
    first = listener("again").ensure()
    assert listener("again").ensure() == first
    assert find_running("again") == first
    stop(first)
    assert find_running("again") is None
    second = listener("again").ensure()
    assert second.pid != first.pid
    stop(second)


def test_two_commands_at_once_start_one_process() -> None:
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[int] = context.Queue()
    starters = [context.Process(target=start_in_another_process, args=("race", found)) for _ in range(3)]
    for starter in starters:
        starter.start()
    pids = {found.get(timeout=60) for _ in starters}
    for starter in starters:
        starter.join()
    running = find_running("race")
    assert running is not None
    assert pids == {running.pid}
    stop(running)


def test_stopping_ends_the_children_and_whoever_ignores_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.local.process._STOP_GRACE_S", 1.0)
    running = listener("stubborn", "stubborn").ensure()
    process = running.process()
    assert process is not None
    family = [process, *process.children(recursive=True)]
    assert len(family) == 2
    stop(running)
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)


def test_a_pid_that_somebody_else_has_now_is_not_ours() -> None:
    mine = psutil.Process()
    stranger = Running("x", mine.pid, mine.create_time() - 100, "", sys.prefix)
    assert stranger.process() is None
    stop(stranger)  # must not end this test


def test_a_process_that_ends_at_once_says_why() -> None:
    with pytest.raises(Unavailable, match=r"ended at once \(no disk\)"):
        listener("short", code="import sys; sys.exit('no disk')").ensure()
    assert find_running("short") is None


def test_a_process_that_does_not_get_ready_is_ended() -> None:
    with pytest.raises(Unavailable, match="not ready after 1 s"):
        listener("slow", code="import time; time.sleep(600)", timeout_s=1).ensure()
    assert find_running("slow") is None


def test_a_process_of_another_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    running = listener("foreign").ensure()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "prefix", "/somewhere/else")
        with pytest.raises(Conflict, match=r"started from another environment.*plait stop"):
            listener("foreign").ensure()
    assert find_running("foreign") == running
    stop(running)


def test_a_port_in_use_is_named_with_who_uses_it_and_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=rf"Port {port} is in use by process \d+ .* set PLAIT_X to another port"):
            check_port_is_free(port, "127.0.0.1", "PLAIT_X")


def test_a_milvus_that_does_not_answer_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("PLAIT_MILVUS_URI", uri)
    settings.cache_clear()
    started = time.monotonic()
    try:
        with pytest.raises(Unavailable, match=f"Milvus at {uri} does not answer.*PLAIT_MILVUS_URI"):
            milvus_uri()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert time.monotonic() - started < 5


def test_everything_of_ours_binds_loopback_and_ray_asks_for_a_token(ray_cluster: None, milvus: str) -> None:
    assert {"ray", "milvus", "exporter"} <= {process.name for process in stack.running()}
    for found in stack.running():
        process = found.process()
        if process is None or found.name == "ray":  # what Ray binds is in docs/security.md
            continue
        listening = {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
        assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    dashboard = f"http://127.0.0.1:{settings().ray_dashboard_port}/api/version"
    assert httpx.get(dashboard, timeout=20).status_code == 401
    token_file = settings().local_dir / "ray-token"
    assert oct(Path(token_file).stat().st_mode & 0o777) == "0o600"
