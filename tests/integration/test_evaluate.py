"""Evaluation over real HTTP, against a server whose answers are known."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from plait.cli import main
from plait.errors import DataError, ModelNotFound, Overloaded, Unavailable
from plait.jobs.evaluate.job import evaluate
from plait.local.process import free_port
from plait.recipes import EvaluateRecipe

VERSIONS = {"ray": "2.60.0", "torch": "2.13.0", "peft": "0.21.2", "rich": "15.0.0", "typer": "0.29.2", "gguf": "0.19.0"}

SLOW = ("base", "slow", "rag/base", "rag/slow")


class KnownAnswers(BaseHTTPRequestHandler):
    """Speaks the contract: `good` cites and is right, `bad` is wrong, `full` refuses, the SLOW do not answer."""

    is_asked, is_over = threading.Event(), threading.Event()

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": name} for name in ("good", "bad", "full", *SLOW)]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] in SLOW:
            self.is_asked.set()
            self.is_over.wait(60)
            return None
        if body["model"] == "full":
            return self._send(429, {"error": {"message": "9 requests are waiting already.", "code": "overloaded"}})
        name = body["messages"][-1]["content"].split()[-1]
        is_good = body["model"] == "good"
        cited = {
            "chunk_id": "c",
            "source": f"{name}.md",
            "heading": "",
            "title": name,
            "start": 0,
            "end": 1,
            "score": 0.9,
            "text": "t",
            "quote": None,
        }
        message = {
            "role": "assistant",
            "content": f"It is {VERSIONS[name] if is_good else '9.9.9'}.",
            "annotations": [cited] if is_good else [],
        }
        answer = {"choices": [{"message": message}], "plait": {"model": "base", "timings_ms": {"total": 12.5}}}
        return self._send(200, answer)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: Any) -> None:
        """Nothing: pytest's output is for tests."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), KnownAnswers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        KnownAnswers.is_over.set()
        server.shutdown()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = [{"question": f"version of {n}", "answer": v, "kind": "version"} for n, v in VERSIONS.items()]
    path = tmp_path / "eval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_model_is_judged_on_every_question(url: str, questions: Path) -> None:
    report = evaluate(EvaluateRecipe(data=str(questions), models=["bad", "good"]), url)
    assert (report.accuracy("good").successes, report.accuracy("bad").successes) == (6, 0)
    assert report.best() == "good"
    assert report.p_value("good", "bad") == pytest.approx(2 / 2**6)
    assert [answer.cited for answer in report.answers["good"]] == [f"{name}.md" for name in VERSIONS]
    assert report.median_latency_ms("good") == 12.5


def test_a_limit_asks_only_the_first_questions(url: str, questions: Path) -> None:
    report = evaluate(EvaluateRecipe(data=str(questions), models=["good"], limit=2), url)
    assert [question.answer for question in report.questions] == ["2.60.0", "2.13.0"]


def test_a_missing_model_is_named_before_anything_is_asked(url: str, questions: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no model 'goood'\. Did you mean 'good'"):
        evaluate(EvaluateRecipe(data=str(questions), models=["full", "goood"]), url)


def test_what_the_server_refuses_is_said_in_its_words(url: str, questions: Path) -> None:
    with pytest.raises(Overloaded, match="9 requests are waiting"):
        evaluate(EvaluateRecipe(data=str(questions), models=["full"], limit=1), url)


def test_a_server_that_does_not_answer_is_named(questions: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=f"No server answers at {address}"):
        evaluate(EvaluateRecipe(data=str(questions), models=["base"]), address)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"question": "q", "answer": "a"}\n{"question": ', r"eval.jsonl:2 is not valid JSON"),
        (b'{"question": "q"}\n', r"eval.jsonl:1 is no question. The field 'answer' is required"),
        (b"\n\n", "holds no questions"),
        (b"\xff\xfe", r"not UTF-8 text \(byte 0\)"),
    ],
)
def test_a_bad_eval_set_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "eval.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        evaluate(EvaluateRecipe(data=str(path), models=["base"]), "http://127.0.0.1:1")


def test_a_missing_eval_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file or folder"):
        evaluate(EvaluateRecipe(data=str(tmp_path / "none.jsonl"), models=["base"]), "http://127.0.0.1:1")


def test_a_line_separator_inside_a_question_does_not_end_its_line(url: str, tmp_path: Path) -> None:
    path = tmp_path / "eval.jsonl"
    row = {"question": "one\u2028version of ray", "answer": "2.60.0"}
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    assert evaluate(EvaluateRecipe(data=str(path), models=["good"]), url).accuracy("good").successes == 1


def test_the_command_prints_both_tables_and_writes_the_report(
    url: str, questions: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    arguments = ["evaluate", str(questions), "bad", "good", "--shown", "2", "--url", url, "--report", str(report)]
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "✓ It is 2.60.0." in printed
    assert "✗ It is 9.9.9." in printed
    assert "100% (61% to 100%)" in printed
    assert "good is better than bad (p = 0.031, paired)" in printed
    assert len(json.loads(report.read_text(encoding="utf-8"))["answers"]["good"]) == len(VERSIONS)


@pytest.mark.parametrize("module", ["plait.jobs.evaluate", "plait.flows.compare"])
def test_sigterm_ends_the_command_with_what_is_kept(module: str, url: str, tmp_path: Path) -> None:
    data = tmp_path / "eval.jsonl"
    data.write_text('{"question": "which ray", "answer": "2"}\n', encoding="utf-8")
    recipe = tmp_path / "compare.yaml"
    train = {"name": "slow", "data": {"train": str(data)}, "adapter": {"method": "lora"}}
    recipe.write_text(json.dumps({"data": str(data), "ingest": {"sources": ["docs"]}, "train": train}))
    arguments, what = {
        "plait.jobs.evaluate": ([str(data), "slow"], "evaluation"),
        "plait.flows.compare": ([str(recipe)], "comparison"),
    }[module]
    KnownAnswers.is_asked.clear()
    run = subprocess.Popen([sys.executable, "-m", module, *arguments, "--url", url], stderr=subprocess.PIPE, text=True)
    assert KnownAnswers.is_asked.wait(60)
    run.terminate()
    _, said = run.communicate(timeout=30)  # of the 120 s that a pod has
    assert run.returncode == 143
    assert said.startswith(f"plait: The {what} was interrupted")
    assert said.count("\n") == 1
