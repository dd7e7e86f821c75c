"""Evaluation over real HTTP, against a server whose answers are known."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from plait.cli import main
from plait.errors import DataError, InvalidInput, ModelNotFound, Overloaded, Unavailable
from plait.evaluation.runs.answerers import evaluations_of
from plait.evaluation.runs.run import opened
from plait.jobs.evaluate.job import evaluate, judge_samples
from plait.jobs.evaluate.report import EvaluationReport
from plait.local.process import free_port
from plait.recipes import EvaluateRecipe, SamplesRecipe

VERSIONS = {"ray": "2.60.0", "torch": "2.13.0", "peft": "0.21.2", "rich": "15.0.0", "typer": "0.29.2", "gguf": "0.19.0"}

SLOW = ("base", "slow", "rag/base", "rag/slow")


class KnownAnswers(BaseHTTPRequestHandler):
    """Speaks the contract: `good` cites and is right, `bad` is wrong, `full` refuses, the SLOW do not answer.

    `picky` is `good`, but for a question that is too long for it; `halting` answers so many questions as it may.
    """

    is_asked, is_over = threading.Event(), threading.Event()
    asked: ClassVar[list[str]] = []  # of `halting`
    may_answer = threading.Semaphore(0)

    def do_GET(self) -> None:
        names = ("good", "bad", "picky", "halting", "full", *SLOW)
        self._send(200, {"object": "list", "data": [{"id": name, "root": f"{name}:1"} for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body["model"]
        name = body["messages"][-1]["content"].split()[-1]
        if model in SLOW:
            self.is_asked.set()
            self.is_over.wait(60)
            return None
        if model == "full":
            return self._send(429, {"error": {"message": "9 requests are waiting already.", "code": "overloaded"}})
        if model == "picky" and name == "peft":
            return self._send(400, {"error": {"message": "The prompt has 9 tokens too many.", "code": "invalid_input"}})
        if model == "halting":
            self.asked.append(name)
            if not self.may_answer.acquire(timeout=60):
                return None
        reply = f"It is {'9.9.9' if model == 'bad' else VERSIONS[name]}."
        cited = {
            "url_citation": {"url": "http://x", "title": name, "start_index": 0, "end_index": len(reply)},
            "chunk_id": "c",
            "source": f"{name}.md",
            "heading": "",
            "title": name,
            "start": 0,
            "end": 1,
            "score": 0.9,
            "text": f"{name} is {VERSIONS[name]}.",
            "quote": {"start": 0, "end": 1, "text": "t"},
        }
        message = {"role": "assistant", "content": reply, "annotations": [] if model == "bad" else [cited]}
        details = {
            "model": f"{model}:1",
            "route": {"kind": "direct" if model == "bad" else "rag"},
            "timings_ms": {"total": 12.5, "first_token": 3.0},
        }
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}
        answer = {"choices": [{"message": message, "finish_reason": "stop"}], "plait": details, "usage": usage}
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


def right(report: EvaluationReport, arm: str) -> int:
    return sum(report.right(arm))


def test_every_arm_is_judged_on_every_question_and_everything_is_kept(url: str, questions: Path) -> None:
    recipe = EvaluateRecipe(data=str(questions), models=["bad", "good"], metrics=["contains", "faithfulness"])
    report = evaluate(recipe, url)
    assert (right(report, "good"), right(report, "bad")) == (6, 0)
    assert report.best("contains") == "good"
    assert report.comparisons[0].p_value == pytest.approx(2 / 2**6)
    assert report.figure("faithfulness", "bad") is None  # it was given no passages, so there is nothing to be true to
    assert report.folder is not None
    trials = sorted(opened(report.folder).trials().values(), key=lambda trial: (trial.arm, trial.number))
    assert [trial.sample.passages[0].source for trial in trials if trial.arm == "good"] == [f"{n}.md" for n in VERSIONS]
    kept = trials[-1]
    assert (kept.answered_by, kept.timings_ms["first_token"], kept.cached_tokens) == ("good:1", 3.0, 5)
    assert kept.sample.reply[kept.sample.citations[0].start : kept.sample.citations[0].end] == kept.sample.reply


def test_a_question_that_cannot_be_answered_is_submitted_all_the_same(url: str, questions: Path) -> None:
    report = evaluate(EvaluateRecipe(data=str(questions), models=["picky"], metrics=["contains"]), url)
    found = report.figure("contains", "picky")
    assert found is not None
    assert (found.value, found.submitted, found.unsaid) == (1.0, 6, 1)
    (failed,) = [judged for judged in report.trials if judged.trial.error]
    assert failed.scores["contains"].reason == "It was not answered: The prompt has 9 tokens too many."


def test_a_killed_run_asks_only_what_is_missing(url: str, questions: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    KnownAnswers.asked.clear()
    command = [sys.executable, "-m", "plait.jobs.evaluate", str(questions), "halting", "--concurrency", "2"]
    run = subprocess.Popen([*command, "--url", url, "--out", str(folder), "--no-track"], stdout=subprocess.DEVNULL)
    KnownAnswers.may_answer.release(3)
    deadline = time.monotonic() + 90
    while sum(pq.read_metadata(part).num_rows for part in folder.glob("trials/part-*")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.kill()
    run.wait()
    asked = set(KnownAnswers.asked)
    assert len(asked) == 5  # three are answered, two were under way
    kept = {trial.sample.question.split()[-1] for trial in opened(folder).trials().values()}
    KnownAnswers.asked.clear()
    KnownAnswers.may_answer.release(100)
    report = evaluate(EvaluateRecipe(data=str(questions), models=["halting"]), url, folder)
    assert set(KnownAnswers.asked) == VERSIONS.keys() - kept
    assert [judged.trial.sample.question.split()[-1] for judged in report.trials] == list(VERSIONS)
    assert right(report, "halting") == 6
    assert len(list(folder.glob("trials/part-*"))) == 1


def test_what_is_kept_is_judged_again_without_a_server(url: str, questions: Path, tmp_path: Path) -> None:
    asked = evaluate(EvaluateRecipe(data=str(questions), models=["bad", "good"], metrics=["contains"]), url)
    again = judge_samples(SamplesRecipe(samples=str(asked.folder), metrics=["token_f1"], limit=2), tmp_path / "again")
    assert [(judged.trial.arm, judged.trial.number) for judged in again.trials] == [
        *(("bad", 0), ("bad", 1)),
        *(("good", 0), ("good", 1)),
    ]
    assert again.best("token_f1") == "good"
    with pytest.raises(InvalidInput, match="asks the model again"):
        judge_samples(SamplesRecipe(samples=str(asked.folder), metrics=["counterfactual_citations"]))


def test_samples_of_another_system_are_judged_without_a_server(tmp_path: Path) -> None:
    rows = [
        {"question": "Which ray?", "answer": "It is 2.60.0.", "contexts": ["ray is 2.60.0."], "ground_truth": "2.60.0"},
        {"question": "Which rich?", "answer": "It is 9.", "contexts": [], "ground_truth": "15.0.0"},
    ]
    file = tmp_path / "ragas.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    report = judge_samples(SamplesRecipe(samples=str(file)), tmp_path / "run")
    assert {"contains", "faithfulness"} <= set(report.metrics)
    figures = {name: report.figure(name, "samples") for name in report.metrics}
    assert figures["contains"] is not None
    assert (figures["contains"].value, figures["contains"].submitted) == (0.5, 2)
    assert figures["faithfulness"] is not None
    assert figures["faithfulness"].submitted == 2  # a search that found nothing is measured, too
    assert "retrieval_recall" not in report.metrics
    named = SamplesRecipe(samples=str(file), metrics=["contains", "retrieval_recall"])
    assert judge_samples(named).inapplicable == {"retrieval_recall": ["sources"]}


def test_a_limit_asks_only_the_first_questions(url: str, questions: Path) -> None:
    report = evaluate(EvaluateRecipe(data=str(questions), models=["good", "good"], limit=2), url)
    assert [judged.trial.sample.answers for judged in report.trials] == [("2.60.0",), ("2.13.0",)]


def test_a_missing_model_or_metric_is_named_before_anything_is_asked(url: str, questions: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no model 'goood'\. Did you mean 'good'"):
        evaluate(EvaluateRecipe(data=str(questions), models=["full", "goood"]), url)
    with pytest.raises(InvalidInput, match=r"no metric 'containz'\. Did you mean 'contains'"):
        evaluate(EvaluateRecipe(data=str(questions), models=["full"], metrics=["containz"]), url)


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
        (b'{"answer": "a"}\n', r"eval.jsonl:1 is no question. It needs a question, or messages."),
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
    assert right(evaluate(EvaluateRecipe(data=str(path), models=["good"]), url), "good") == 1


def test_a_guessed_encoding_of_an_eval_set_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "eval.csv"
    data.write_bytes("question,answer\nWie heißt die Straße?,Bärenweg natürlich\n".encode("cp1252"))
    with pytest.raises(Unavailable):
        evaluate(EvaluateRecipe(data=str(data), models=["x"]), f"http://127.0.0.1:{free_port()}")
    assert f"data: {data}: read as cp1252 (guessed)" in capsys.readouterr().out


def command(*arguments: str) -> int:
    """The exit code of `plait evaluate`."""
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *arguments])
    return int(stopped.value.code or 0)


def test_the_command_prints_figures_answers_and_where_everything_is(
    url: str, questions: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options = ["--shown", "2", "--url", url, "--out", str(folder), "--metric", "contains", "--metric", "faithfulness"]
    assert command(str(questions), "bad", "good", *options, "--gate", "good: contains >= 60%", "--no-track") == 0
    printed = capsys.readouterr().out
    assert "ask bad: 6 of 6" in printed
    assert "✓ It is 2.60.0." in printed
    assert "✗ It is 9.9.9." in printed
    assert "100% (61% to 100%)" in printed
    assert "contains: good beats bad by 100 points (p = 0.031)" in printed
    assert printed.endswith(f"everything: {folder}\n")
    written = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert [trial["arm"] for trial in written["trials"]] == ["bad"] * 6 + ["good"] * 6
    assert "bad − good" in (folder / "evaluation.html").read_text(encoding="utf-8")
    assert command(str(questions), "bad", "good", *options, "--no-track") == 1
    assert "holds a run that has ended" in capsys.readouterr().err


def test_a_gate_that_is_not_met_ends_the_command_with_1_and_a_sentence(
    url: str, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = ["--gate", "contains >= 0.5 at 95%", "--gate", "bad: contains >= 0"]
    assert command(str(questions), "bad", "good", "--url", url, "--no-track", *gates) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "plait: The gate 'contains >= 0.5 at 95%' is not met: bad has 0.000, between 0.000 and 0.390"
    )
    assert said.count("\n") == 1
    assert command(str(questions), "bad", "--url", url, "--gate", "contains > 1") == 2


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("contians >= 0.5", "is of no metric that there is. Did you mean 'contains'"),
        ("abstention >= 0.5", "is of a metric that is not measured. Add --metric abstention"),
        ("god: contains >= 0.5", "is of no arm that there is. Did you mean 'good'"),
    ],
)
def test_a_gate_of_nothing_is_said_before_anything_is_asked(gate: str, why: str, questions: Path) -> None:
    recipe = EvaluateRecipe(data=str(questions), models=["good"], metrics=["contains"], gates=[gate])
    with pytest.raises(InvalidInput, match=why):
        evaluate(recipe, "http://127.0.0.1:1")


def test_a_run_is_in_mlflow_with_figures_a_table_and_its_folder(url: str, questions: Path) -> None:
    from plait.adapters.tracking import EXPERIMENT, tracking_client

    assert command(str(questions), "good", "--url", url, "--metric", "contains") == 0
    client = tracking_client()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    run = client.search_runs([experiment.experiment_id], "params.models = \"['good']\"", max_results=1)[0]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["contains/good"] == 1.0
    assert run.data.metrics["contains/good.low"] == pytest.approx(0.61, abs=0.01)
    (evaluation,) = evaluations_of(client, "good:1", most=1)
    assert (evaluation.run_id, evaluation.figures["contains/good"]) == (run.info.run_id, 1.0)
    artefacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert artefacts == {"trials.json", "run"}
    of_run = {file.path for file in client.list_artifacts(run.info.run_id, "run")}
    assert {"run/report.json", "run/evaluation.html"} <= of_run


def test_sigterm_ends_the_command_with_what_is_kept(url: str, tmp_path: Path) -> None:
    data = tmp_path / "eval.jsonl"
    data.write_text('{"question": "which ray", "answer": "2"}\n', encoding="utf-8")
    KnownAnswers.is_asked.clear()
    line = [sys.executable, "-m", "plait.jobs.evaluate", str(data), "slow", "--no-track", "--url", url]
    run = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert KnownAnswers.is_asked.wait(60)
    run.terminate()
    _, said = run.communicate(timeout=30)  # of the 120 s that a pod has
    assert run.returncode == 143
    assert said.startswith("plait: The evaluation was interrupted")
    assert said.count("\n") == 1
