"""Processes of ours on this machine: one of each, found again, ended for sure."""

import multiprocessing
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
from changed_settings import changed_settings

from plait.errors import Conflict, InvalidInput, Unavailable
from plait.index.stores.store import Store
from plait.local import stack
from plait.local.milvus import milvus_uri
from plait.local.process import LocalProcess, check_port_is_free, ensure_all, free_port
from plait.local.ray_head import connect, temp_dir, token
from plait.local.running import Running
from plait.local.state import find_remains, find_running, stop
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


def listener(
    name: str,
    *flags: str,
    code: str = LISTENER,
    port: int | None = None,
    settings: dict[str, str | int | None] | None = None,
    timeout_s: float = 20.0,
) -> LocalProcess:
    return LocalProcess(
        name=name,
        make_address=lambda: f"127.0.0.1:{port or free_port()}",
        command=lambda address: [sys.executable, "-c", code, address.rpartition(":")[2], *flags],
        settings=settings or {},
        timeout_s=timeout_s,
    )


# A fork of a process in which Ray's and Milvus' threads run could leave either of the two without them.
spawning = multiprocessing.get_context("spawn")

SLOW = """
import socket, sys, time
time.sleep(2)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()
"""


def start_in_another_process(name: str, found: "multiprocessing.Queue[int]") -> None:
    found.put(listener(name).ensure().pid)


def start_slow_one() -> None:
    listener("half", code=SLOW, timeout_s=30.0).ensure()


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
    found: multiprocessing.Queue[int] = spawning.Queue()
    starters = [spawning.Process(target=start_in_another_process, args=("race", found)) for _ in range(3)]
    for starter in starters:
        starter.start()
    pids = {found.get(timeout=60) for _ in starters}
    for starter in starters:
        starter.join(20)
    running = find_running("race")
    assert running is not None
    assert pids == {running.pid}
    stop(running)


def test_stopping_ends_the_children_and_whoever_ignores_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.local.running._STOP_GRACE_S", 1.0)
    running = listener("stubborn", "stubborn").ensure()
    process = running.process()
    assert process is not None
    family = [process, *process.children(recursive=True)]
    assert len(family) == 2
    stop(running)
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)


def test_what_a_killed_process_left_behind_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    running = listener("killed").ensure()
    process = running.process()
    assert process is not None
    (child,) = process.children()
    process.kill()
    process.wait()
    assert find_running("killed") is None
    assert find_remains("killed") == running
    monkeypatch.setattr(stack, "_NAMES", ("killed",))
    assert stack.stop_all() == [running]
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert find_remains("killed") is None


def test_what_a_killed_process_left_behind_is_ended_before_it_is_started_again() -> None:
    first = listener("revived").ensure()
    process = first.process()
    assert process is not None
    (child,) = process.children()
    process.kill()
    process.wait()
    second = listener("revived").ensure()
    assert second.pid != first.pid
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    stop(second)


def test_a_pid_that_somebody_else_has_now_is_not_ours() -> None:
    mine = psutil.Process()
    stranger = Running("x", mine.pid, mine.create_time() - 100, "127.0.0.1:1", sys.prefix)
    assert stranger.process() is None
    assert stranger.family() == []
    stop(stranger)  # must not end this test


def test_a_clock_that_is_set_anew_does_not_hide_a_process() -> None:
    running = listener("clock").ensure()
    hour_s = 3600.0
    before = replace(running, created_at=running.created_at - hour_s, booted_at=running.booted_at - hour_s)
    assert before.process() is not None
    stop(running)


def test_a_start_that_was_interrupted_is_waited_for() -> None:
    starter = spawning.Process(target=start_slow_one)
    starter.start()
    deadline = time.monotonic() + 30
    while find_running("half") is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    starter.kill()
    starter.join(20)
    found = listener("half", code=SLOW, timeout_s=30.0).ensure()
    with socket.create_connection(("127.0.0.1", int(found.address.rpartition(":")[2])), timeout=1):
        pass
    stop(found)


def test_another_ones_listener_is_not_taken_for_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=r"ended at once .*Address already in use"):
            listener("usurped", port=port).ensure()


def test_other_settings_than_it_runs_with_are_a_conflict() -> None:
    running = listener("set", settings={"http_port": 8000, "ray_cpus": 2}).ensure()
    try:
        with changed_settings(http_port=8001):
            with pytest.raises(Conflict, match="runs with PLAIT_HTTP_PORT=8000, not 8001"):
                listener("set", settings={"http_port": 8001}).ensure()
            # Nobody set this one, so what runs will do.
            assert listener("set", settings={"ray_cpus": 4}).ensure() == running
    finally:
        stop(running)


def test_a_process_that_we_start_does_not_write_into_our_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/somewhere")
    running = listener("clean").ensure()
    process = running.process()
    assert process is not None
    assert "PROMETHEUS_MULTIPROC_DIR" not in process.environ()
    stop(running)


def test_a_process_that_ends_at_once_says_why() -> None:
    with pytest.raises(Unavailable, match=r"ended at once \(no disk\)"):
        listener("short", code="import sys; sys.exit('no disk')").ensure()
    assert find_running("short") is None


def test_a_process_that_does_not_get_ready_is_ended() -> None:
    with pytest.raises(Unavailable, match="not ready after 1 s"):
        listener("slow", code="import time; time.sleep(600)", timeout_s=1).ensure()
    assert find_running("slow") is None


@pytest.mark.parametrize("how", ["ends", "has no port", "is interrupted"])
def test_a_start_that_fails_leaves_nothing_of_what_it_started(how: str) -> None:
    before = listener("before").ensure()

    def no_port() -> str:
        raise Conflict("Port 1 is in use.")

    def interrupted() -> None:
        raise KeyboardInterrupt

    bad = listener("bad", code="import sys; sys.exit('no disk')" if how == "ends" else LISTENER)
    bad = replace(bad, make_address=no_port) if how == "has no port" else bad
    with pytest.raises((Unavailable, Conflict, KeyboardInterrupt)):
        ensure_all(
            listener("before"),
            listener("good"),
            bad,
            meanwhile=interrupted if how == "is interrupted" else lambda: None,
        )
    assert [find_running(name) for name in ("good", "bad")] == [None, None]
    assert find_running("before") == before
    stop(before)


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


def test_an_address_that_this_machine_does_not_have_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"192\.0\.2\.77:\d+ cannot be listened on .*PLAIT_BIND or PLAIT_X"):
        check_port_is_free(free_port(), "192.0.2.77", "PLAIT_X")


def test_a_milvus_that_does_not_answer_is_named_within_seconds() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()
    refusal = f"Milvus at {uri} does not answer.*PLAIT_MILVUS_URI"
    with changed_settings(milvus_uri=uri), pytest.raises(Unavailable, match=refusal):
        milvus_uri()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("uri", ["./milvus.db", "http://host:port", "http://host:99999", "localhost"])
def test_a_milvus_address_that_is_none_is_named(uri: str) -> None:
    with (
        changed_settings(milvus_uri=uri),
        pytest.raises(InvalidInput, match=r"is no address of a Milvus server.*http://host:19530"),
    ):
        milvus_uri()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_ray_cluster_that_does_not_answer_is_named_within_seconds(scheme: str) -> None:
    address = f"{scheme}127.0.0.1:{free_port()}"
    started = time.monotonic()
    refusal = f"The Ray cluster at {address} does not answer"
    with changed_settings(ray_address=address), pytest.raises(Unavailable, match=refusal):
        connect()
    assert time.monotonic() - started < 5


def test_commands_at_once_make_one_token(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        with ThreadPoolExecutor(8) as threads:
            tokens = {future.result() for future in [threads.submit(token) for _ in range(8)]}
        made = [file.name for file in settings().local_dir.iterdir()]
    assert len(tokens) == 1
    assert len(tokens.pop()) == 64
    assert made == ["ray-token"]


def test_rays_folder_is_closed_to_others(ray_cluster: None) -> None:
    assert temp_dir().stat().st_mode & 0o777 == 0o700
    assert list((temp_dir() / "r").glob("session_*"))


def test_everything_of_ours_binds_loopback_and_ray_asks_for_a_token(ray_cluster: None, milvus: Store) -> None:
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
