"""Ctrl-C and SIGTERM: the first ends a command well, the second at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from changed_settings import changed_settings

from plait import interruption
from plait.cli import main
from plait.cli.serve import _until_interrupted
from plait.errors import Interrupted
from plait.flows.jobs import follow
from plait.jobs.submission.attempts import run_driver, run_with_retries
from plait.jobs.train import interrupt, job
from plait.jobs.train.interrupt import run_interruptibly

BOTH = [pytest.param(signal.SIGINT, id="ctrl-c"), pytest.param(signal.SIGTERM, id="terminated")]


@pytest.fixture(autouse=True)
def as_it_was() -> Any:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_interrupts_the_block_and_is_the_exit_code(number: signal.Signals) -> None:
    with interruption.handled():
        assert interruption.received() is None
        with pytest.raises(KeyboardInterrupt):
            send(number)
        assert interruption.received() == number
        assert interruption.exit_code() == 128 + number


@pytest.mark.parametrize("number", BOTH)
def test_a_command_that_is_interrupted_says_so_and_nothing_else(
    number: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.recipes.load_recipe", lambda *_: send(number))
    with pytest.raises(SystemExit) as ended:
        main(["plan", "qlora"])
    assert ended.value.code == 128 + number
    assert capsys.readouterr() == ("", "plait: interrupted\n")


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("kind", [RuntimeError, OSError, ValueError])
def test_a_library_that_makes_an_error_of_its_own_of_the_interruption_changes_no_exit_code(
    number: signal.Signals,
    kind: type[Exception],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def library(*_: object) -> None:
        try:
            send(number)
        except KeyboardInterrupt:
            raise kind("it was cut off\nby a signal") from None

    monkeypatch.setattr("plait.recipes.load_recipe", library)
    with pytest.raises(SystemExit) as ended:
        main(["plan", "qlora"])
    assert ended.value.code == 128 + number
    assert capsys.readouterr() == ("", f"plait: interrupted ({kind.__name__}: it was cut off)\n")


def test_an_explained_interruption_has_the_exit_code_of_its_signal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.jobs.evaluate.job.evaluate", lambda *_: send(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "eval.jsonl", "base", "--no-track"])
    assert ended.value.code == 143
    assert "interrupted; what was answered is kept. Run the same command again to go on." in capsys.readouterr().err


ENDLESS = """
import time
from plait import interruption

with interruption.handled():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaning up", flush=True)
        time.sleep({cleaning_s})
        print("clean", flush=True)
"""


def started(cleaning_s: float, ignores_sigint: bool = False) -> "subprocess.Popen[str]":
    """A process that is in its block."""
    command = [sys.executable, "-c", ENDLESS.format(cleaning_s=cleaning_s)]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignores_sigint else None
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if ignores_sigint:
        signal.signal(signal.SIGINT, before)
    assert next_line(run) == "ready\n"
    return run


def next_line(run: "subprocess.Popen[str]") -> str:
    assert run.stdout is not None
    return run.stdout.readline()


def test_a_second_signal_ends_the_process_at_once() -> None:
    run = started(cleaning_s=60)
    run.terminate()
    assert next_line(run) == "cleaning up\n"
    time.sleep(1.1)
    run.terminate()
    assert run.communicate(timeout=20)[0] == ""
    assert run.returncode == 143


def test_two_signals_within_a_second_are_one_as_timeout_and_slurm_send_them() -> None:
    run = started(cleaning_s=0.5)
    run.terminate()
    assert next_line(run) == "cleaning up\n"
    run.terminate()
    assert run.communicate(timeout=20)[0] == "clean\n"


def test_a_sigint_that_the_shell_lets_the_process_ignore_stays_ignored() -> None:
    run = started(cleaning_s=0, ignores_sigint=True)
    run.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert run.poll() is None
    run.terminate()
    assert run.communicate(timeout=20)[0] == "cleaning up\nclean\n"


def test_what_shall_be_called_is_called_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "_SAME_REQUEST_S", 600.0)  # a machine that stalls must not end the tests
    called: list[str] = []
    with interruption.handled():
        with interruption.on_interrupt(lambda: called.append("outer")):
            with interruption.on_interrupt(lambda: called.append("inner")):
                send(signal.SIGTERM)
            send(signal.SIGTERM)  # the same request
        assert called == ["inner"]
        with pytest.raises(KeyboardInterrupt), interruption.on_interrupt(lambda: called.append("late")):
            pytest.fail("it was asked to end before")


def test_a_sigterm_during_and_after_ray_init_is_ours() -> None:
    def rays_handler(number: int, frame: object) -> None:
        sys.exit(number)

    with interruption.handled():
        with interruption.handlers_kept():
            signal.signal(signal.SIGTERM, rays_handler)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
    with interruption.handled():
        with pytest.raises(KeyboardInterrupt), interruption.handlers_kept():  # noqa: PT012
            signal.signal(signal.SIGTERM, rays_handler)
            send(signal.SIGTERM)
        assert interruption.received() == signal.SIGTERM


def test_training_is_asked_to_end_and_gives_what_it_then_gives() -> None:
    asked = threading.Event()

    def training() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.wait(5)
        return "stopped after a step"

    assert run_interruptibly(training, asked.set) == "stopped after a step"


def test_training_that_comes_to_no_step_is_left_within_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "TERMINATED_WITHIN_S", 0.1)

    def waits_for_workers() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with pytest.raises(Interrupted, match="Run the same command again to go on from the last checkpoint"):
        run_interruptibly(waits_for_workers, lambda: None)


def test_a_server_that_is_asked_to_end_takes_its_application_down(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("plait.serve.deploy.is_served", lambda _: send(signal.SIGTERM))
    monkeypatch.setattr("plait.serve.deploy.take_down", lambda: done.append("taken down"))
    monkeypatch.setattr("ray.serve.shutdown", lambda: done.append("shut down"))
    with interruption.handled():
        _until_interrupted()
    assert done == ["taken down", "shut down"]
    assert capsys.readouterr().out.endswith("stopping, after the answers that are under way\nstopped\n")


def test_a_job_that_is_no_longer_followed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.jobs.submission.listing.follow", lambda *_: send(signal.SIGTERM))
    monkeypatch.setattr("plait.flows.jobs.Cluster", SimpleNamespace(find=lambda _: None))
    with interruption.handled(), pytest.raises(Interrupted, match=r"train-1 goes on\. .*plait jobs stop train-1"):
        follow("train-1", None, print)


@pytest.mark.parametrize("number", BOTH)
def test_a_run_that_has_ended_is_registered_whole(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def register(*_: object) -> str:
        send(number)
        done.append("registered")
        return "a:1"

    for name in ("prepare", "Registry", "_open_run", "_write_rows", "_fit"):
        monkeypatch.setattr(job, name, lambda *_: SimpleNamespace(recipe=recipe, key="k"))
    recipe: Any = SimpleNamespace(name="a")
    monkeypatch.setattr(job, "_register", register)
    with changed_settings(home=tmp_path), interruption.handled():
        version: Any = job.train(recipe)
    assert (version, done) == ("a:1", ["registered"])
    assert not list(tmp_path.rglob("a-k"))
    assert "training has ended; the adapter is being registered" in capsys.readouterr().out


STOPPED_BOTH = "kill -TERM $PPID; kill -TERM $$"


@pytest.mark.parametrize(
    ("driver", "code"),
    [
        pytest.param(STOPPED_BOTH, 143, id="a driver that has no handler yet"),
        pytest.param("kill -TERM $PPID; exit 1", 143, id="a driver that fails at it"),
        pytest.param("kill -TERM $PPID; exit 143", 143, id="a driver that was interrupted"),
        pytest.param("kill -TERM $PPID; exit 0", 0, id="a driver that had just finished"),
    ],
)
def test_a_job_that_is_stopped_is_not_tried_again(driver: str, code: int) -> None:
    said: list[str] = []
    with interruption.handled():
        assert run_with_retries(lambda: run_driver(["sh", "-c", driver]), 3, lambda _: None, said.append) == code
    assert said == []


def test_a_driver_that_something_else_kills_is_tried_again() -> None:
    said: list[str] = []
    with interruption.handled():
        code = run_with_retries(lambda: run_driver(["sh", "-c", "kill -TERM $$"]), 1, lambda _: None, said.append)
    assert (code, len(said)) == (-signal.SIGTERM, 1)
