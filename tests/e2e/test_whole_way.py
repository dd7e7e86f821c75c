"""The whole way with the real models, as a user goes it: ingest, train, serve, ask, evaluate, through the command."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from plait.settings import settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

BUILD = Path(__file__).parents[2] / "examples" / "environment" / "build.py"
TRAINING_QUESTIONS = 32
DOCUMENTS = 30


def plait(*arguments: str) -> str:
    """Run the command in a process of its own; returns what it printed."""
    command = str(Path(sys.executable).with_name("plait"))
    done = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"plait {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small part of the demo's data: some documents, version questions about them, and questions to learn from."""
    folder = tmp_path_factory.mktemp("e2e")
    runpy.run_path(str(BUILD))["build"](folder)
    asked = ["numpy", "ray", "torch", "peft"]
    kept = sorted(path.stem for path in (folder / "docs").glob("*.md"))[::6][:DOCUMENTS] + asked
    for path in (folder / "docs").glob("*.md"):
        if path.stem not in kept:
            path.unlink()
    rows = [{"question": f"Which version of {name} is installed?", "answer": version(name)} for name in asked]
    (folder / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    learnt = [line for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines() if '"version"' in line]
    (folder / "train.jsonl").write_text("\n".join(learnt[:TRAINING_QUESTIONS]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(data: Path, gemma: Path) -> Iterator["subprocess.Popen[str]"]:
    """`plait serve`, ready, with an index and an adapter."""
    assert "not read" in plait("ingest", str(data / "docs"), "collection=e2e")
    registered = plait("train", "qlora", *_training(data))
    assert "e2e:1 is registered" in registered
    command = [str(Path(sys.executable).with_name("plait")), "serve", "local", "retrieval.collection=e2e"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    said = ""
    while "Ctrl-C stops it\n" not in said:
        line = run.stdout.readline()
        assert line, said  # it has ended
        said += line
    assert f"ready at http://127.0.0.1:{settings().http_port}" in said
    yield run
    run.kill()  # where a test has not ended it; Ray and Milvus serve the tests that follow
    run.wait()


@pytest.fixture(scope="module")
def report(server: object, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `plait evaluate` found, with the server still running."""
    folder = tmp_path_factory.mktemp("evaluation")
    models = ("base", "e2e", "rag/base", "rag/e2e")
    print(plait("evaluate", str(data / "eval.jsonl"), *models, "--max-tokens", "24", "--out", str(folder)))
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def _training(data: Path) -> list[str]:
    # Packed, the questions are a handful of rows: small batches, so that there are steps to learn in. General text
    # beside them would take half the time again.
    without = ["data.rehearsal_share=0", "train.kl_weight=0"]
    rows = ["train.epochs=3", "train.batch_size=1", "train.samples=0"]
    return ["name=e2e", f"data.train={data / 'train.jsonl'}", *rows, *without]


def trials(report: dict[str, Any], arm: str) -> list[dict[str, Any]]:
    return [trial for trial in report["trials"] if trial["arm"] == arm]


def right(report: dict[str, Any], arm: str) -> int:
    return sum(trial["scores"]["contains"]["value"] for trial in trials(report, arm))


def test_retrieval_answers_what_the_base_model_cannot_know(report: dict[str, Any]) -> None:
    assert right(report, "base") == 0
    assert max(right(report, "rag/base"), right(report, "rag/e2e")) >= 2


def test_the_adapter_answers_in_the_trained_form(report: dict[str, Any]) -> None:
    replies = [trial["reply"].strip() for trial in trials(report, "e2e")]
    assert all(reply.startswith("The installed version of") for reply in replies), replies
    assert not any(trial["reply"].strip().startswith("The installed") for trial in trials(report, "base"))


def test_an_answer_from_documents_cites_the_right_one(report: dict[str, Any]) -> None:
    cited = {trial["question"].split()[3]: trial["passages"][0] for trial in trials(report, "rag/e2e")}
    assert sum(source == f"{name}.md" for name, source in cited.items()) >= 3, cited
    assert not any(trial["passages"] for trial in trials(report, "base"))


def test_one_question_can_be_asked_from_the_command_line(report: dict[str, Any]) -> None:
    printed = plait("ask", "Which version of ray is installed?", "--model", "rag/e2e")
    assert "ray.md" in printed


def test_a_second_run_reuses_index_and_adapter(report: dict[str, Any], data: Path) -> None:
    assert ": 0 documents written (0 chunks)" in plait("ingest", str(data / "docs"), "collection=e2e")
    again = plait("train", "qlora", "--reuse", *_training(data))
    assert "e2e:1 is registered" in again


def test_sigterm_finishes_the_answer_under_way_and_takes_the_application_down(
    report: dict[str, Any], server: "subprocess.Popen[str]"
) -> None:
    base = f"http://127.0.0.1:{settings().http_port}"
    body = {"model": "base", "prompt": "Once", "max_tokens": 128, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{base}/v1/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.terminate()
        assert [line for line in lines if line][-1] == "data: [DONE]"
    said, _ = server.communicate(timeout=60)  # of the 120 s that a pod has
    assert said.splitlines()[0] == "stopping, after the answers that are under way"
    assert said.splitlines()[-1] == "stopped"
    assert server.returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base}/readyz")
