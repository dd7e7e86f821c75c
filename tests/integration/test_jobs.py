"""Jobs through the Jobs API of a real cluster that wants a token, reached as a stranger would: by address and token."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from session_processes import session_processes

from plait.adapters.progress import ProgressLog
from plait.adapters.registry import Registry
from plait.cli import main
from plait.local.ray_head import token
from plait.model_ids import AdapterRef
from plait.settings import settings

pytestmark = pytest.mark.usefixtures("ray_cluster")
PATIENCE_S = 150


class SlowAnswers(BaseHTTPRequestHandler):
    """A server with one model, `m`, that is always right; an answer to `wait` never comes while the test runs."""

    released = threading.Event()

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "m"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["messages"][-1]["content"] == "wait":
            self.released.wait(PATIENCE_S)
        message = {"role": "assistant", "content": "yes", "annotations": []}
        self._send({"choices": [{"message": message}], "plait": {"model": "m", "timings_ms": {"total": 1.0}}})

    def _send(self, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: Any) -> None:
        """Nothing: pytest's output is for tests."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowAnswers) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        SlowAnswers.released.set()
        listening.shutdown()


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> str:
    """The session's head, as any cluster: an address, and a token in the environment."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", token())
    return f"http://127.0.0.1:{settings().ray_dashboard_port}"


def plait(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and all output of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


def questions(folder: Path, question: str) -> Path:
    file = folder / f"{question}.jsonl"
    file.write_text(json.dumps({"question": question, "answer": "yes"}) + "\n")
    return file


def submitted(said: str) -> str:
    return re.findall(r"^(\S+) (?:is submitted|waits)", said, re.MULTILINE)[0]


@pytest.mark.long
def test_a_killed_driver_is_started_again_and_training_resumes(
    address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_model: Path
) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text("".join(f'{{"question": "{i}", "answer": "{i}"}}\n' for i in range(20)))
    fields = [
        *("name=submitted", f"data.train={data}", f"model.source={tiny_model}", "model.dtype=float32"),
        *("data.max_tokens=64", "train.samples=0", "train.max_steps=240", "train.epochs=1000"),
        *("train.batch_size=2", "train.checkpoint_every_steps=20", "scale.threads_per_worker=1"),
        *("data.rehearsal_share=0", "train.kl_weight=0"),
    ]
    home = f"PLAIT_HOME={settings().root}"
    options = ["--address", address, "--retries", "1", "--env", home]
    code, said = plait(capsys, "jobs", "submit", "train", "lora", *fields, *options)
    assert code == 0, said
    job = submitted(said)
    killed = _kill_the_driver_after_some_steps()
    code, said = plait(capsys, "jobs", "logs", job, "-f", "--address", address)
    assert killed
    assert code == 0, said
    assert "attempt 1 was killed by signal 9; retry 1 of 1 in 5 s" in said
    assert "going on with the interrupted run submitted-" in said
    assert Registry().resolve(AdapterRef("submitted")).metadata.metrics["steps"] == 240
    _, said = plait(capsys, "jobs", "status", job, "--address", address)
    assert f"{job}: SUCCEEDED" in said
    assert re.search(r"^recipe_sha256: [0-9a-f]{64}$", said, re.MULTILINE)
    assert f"data: {data}, {tiny_model}" in said


def _kill_the_driver_after_some_steps() -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        logs = map(ProgressLog, settings().runs_dir.glob("submitted-*/progress.jsonl"))
        if any(len(log.records()) >= 30 for log in logs):
            for process in session_processes():
                # The whole command, so that neither the shell nor the process that retries is meant.
                if (process.info["cmdline"] or [])[1:] == ["-m", "plait.jobs.train", "recipe.yaml"]:
                    process.send_signal(signal.SIGKILL)
                    return True
        time.sleep(0.02)
    return False


def test_what_cannot_run_is_refused_before_anything_starts(
    address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: str) -> str:
        code, said = plait(capsys, "jobs", "submit", *arguments, "--address", address)
        assert code in (1, 2)
        assert "Traceback" not in said
        return said

    data = questions(tmp_path, "here")
    train = ("train", "lora", "name=refused", f"data.train={data}")
    assert "'train.lrr' is not known" in refused(*train, "train.lrr=1")
    assert "There is no '/no/such.jsonl' on this machine" in refused(*train, "data.train=/no/such.jsonl")
    assert re.search(r"needs 64 GPUs, but the cluster has \d", refused(*train, "--num-gpus", "64"))
    elsewhere = ("data.train=/no/such.jsonl", "--on-cluster", "/no")
    assert "The cluster has no '/no/such.jsonl'" in refused(*train, *elsewhere)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    assert "Ray's token is not the one of the cluster" in refused(*train)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "Ray's token is missing for the cluster" in refused(*train)
    monkeypatch.setenv("RAY_AUTH_TOKEN", token())
    _, said = plait(capsys, "jobs", "list", "--address", address)
    assert "refused" not in said


def test_jobs_wait_in_the_queue_are_followed_and_stopped(
    address: str, server: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    common = ["m", "--url", server, "--address", address, "--no-check"]
    code, said = plait(capsys, "jobs", "submit", "evaluate", str(questions(tmp_path, "wait")), *common, "--queue")
    assert code == 0, said
    assert "waits for room, number 1 in the queue" in said
    job = submitted(said)
    deadline = time.monotonic() + PATIENCE_S
    while "RUNNING" not in said and time.monotonic() < deadline:
        time.sleep(0.5)
        _, said = plait(capsys, "jobs", "status", job, "--address", address)
    assert f"{job}: RUNNING" in said
    _, said = plait(capsys, "jobs", "stop", job, "--address", address)
    assert f"{job} is told to stop" in said
    code, said = plait(capsys, "jobs", "logs", job, "-f", "--address", address)
    assert code == 1
    assert f"{job} ended as STOPPED" in said
    assert re.search("^plait: (The evaluation was )?interrupted", said, re.MULTILINE)  # it was asked, not killed


def test_rays_own_command_does_just_as_well(address: str, server: str, tmp_path: Path) -> None:
    questions(tmp_path, "quick")
    command = [
        *(str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", address),
        *("--working-dir", str(tmp_path), "--", "python", "-m", "plait.jobs.evaluate"),
        *("quick.jsonl", "m", "--url", server, "--no-track"),
    ]
    environment = {**os.environ, "RAY_AUTH_MODE": "token"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ask m: 1 of 1" in ended.stdout
