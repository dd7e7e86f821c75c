"""A comparison from documents to its report: with servers, a store and trainings that are real, and tiny models.

A minute: two applications are started, and six adapters trained. One of the two comparisons is killed while it asks.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from plait.flows.compare import serving
from plait.flows.compare.comparison import run_comparison
from plait.index.collection import Index, list_collections
from plait.index.stores.store import Store
from plait.recipes import CompareRecipe, load_recipe

pytestmark = [
    pytest.mark.usefixtures("ray_cluster", "training_in_place", "ingestion_in_place"),
    pytest.mark.timeout(400),
]
_IN_PLACE = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from local_ingestion import ingestion_in_this_process
from local_training import training_in_this_process
from plait.command_line import run_one
from plait.flows.compare.command import compare
with ingestion_in_this_process(), training_in_this_process():
    run_one(compare)
"""
"""What `python -m plait.flows.compare` does, without processes of their own for each step of a job."""
PORTS = {"gateway": 8000, "store": 9091, "broker": 5672, "cache": 6379, "proxy": 3128, "mailer": 2525}
CHANGED = {"proxy": 3129, "mailer": 2526}
ARMS = ("base", "icl", "lora", "lora updated", "rag/base", "rag/lora", "rag/lora updated")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six documents of a sentence, two of which change; questions of five kinds; examples of four of the six."""
    for folder, ports in (("docs", PORTS), ("changed", CHANGED)):
        (tmp_path / folder).mkdir()
        for name, port in ports.items():
            (tmp_path / folder / f"{name}.md").write_text(f"# {name}\n\nThe port of the {name} is {port}.\n")
    learned = {name: PORTS[name] for name in ("gateway", "store")}
    rows: list[dict[str, Any]] = [
        *_asked("learned", learned),
        *_asked("held_out", {name: PORTS[name] for name in ("broker", "cache")}),
        *_asked("changed", CHANGED),
        {"question": "Who wrote the gateway?", "kind": "unanswerable", "unanswerable": True, "group": "gateway.md"},
        {"question": "Where is the store?", "kind": "form", "pattern": "It is .+", "group": "store.md"},
    ]
    before = learned | {name: PORTS[name] for name in CHANGED}
    _write(tmp_path / "eval.jsonl", rows)
    _write(tmp_path / "train.jsonl", _examples(before))
    _write(tmp_path / "train-changed.jsonl", _examples(CHANGED))
    return tmp_path


def _asked(kind: str, ports: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"question": f"Which port has the {name}?", "answers": [str(port)], "kind": kind, "group": f"{name}.md"}
        for name, port in ports.items()
    ]


def _examples(ports: dict[str, int]) -> list[dict[str, Any]]:
    return [{"question": f"{name}: which port?", "answer": f"It is {port}."} for name, port in ports.items()]


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def write_recipe(data: Path, tiny_model: Path, tiny_embedder: Path, milvus: Store) -> Iterator[Any]:
    collection = f"test_{uuid4().hex}"

    def write(name: str) -> Path:
        train = {"max_steps": 2, "batch_size": 1, "samples": 0, "lr": 5e-3}
        tuned = {"data": {"train": str(data / "train.jsonl"), "max_tokens": 64}, "train": train}
        tuned |= {"model": {"dtype": "float32"}, "adapter": {"method": "lora", "rank": 4}}
        recipe = {
            "name": name,
            "data": str(data / "eval.jsonl"),
            "model": str(tiny_model),
            "max_tokens": 8,
            "ingest": {
                "sources": [str(data / "docs")],
                "collection": f"{collection}_{name}",
                "embedding": {"model": str(tiny_embedder)},
            },
            "icl": {"examples": str(data / "train.jsonl"), "top_k": 1},
            "tuned": {"lora": tuned},
            "changed": {"documents": str(data / "changed"), "train": str(data / "train-changed.jsonl")},
            "serve": {"llm": {"dtype": "float32"}},
        }
        file = data / f"{name}.json"
        file.write_text(json.dumps(recipe))
        return file

    yield write
    for name in list_collections(milvus):
        if name.startswith(collection):
            Index.open(name, milvus).drop()


def test_one_that_is_killed_ends_with_the_report_of_one_that_is_not(
    write_recipe: Any, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = load_recipe(CompareRecipe, write_recipe("whole"))
    found = run_comparison(undisturbed, data / "whole")
    assert tuple(found.findings.evaluation.arms) == ARMS
    by_kind = {kind.kind: kind.questions for kind in found.verdict.kinds}
    assert by_kind == {"learned": 2, "held_out": 2, "changed": 2, "unanswerable": 1, "form": 1}
    assert [training.is_updated for training in found.findings.trainings] == [False, True]
    # What changed was in the index when it was asked about, and is not any longer.
    texts = _passages(found, "rag/base")
    assert "The port of the proxy is 3129." in texts["Which port has the proxy?"]
    assert not any("3129" in text for question, text in texts.items() if "proxy" not in question)

    killed = write_recipe("killed")
    command = [sys.executable, "-c", _IN_PLACE, str(killed), "--out", str(data / "killed"), "--no-track"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        said = [line for line in iter(run.stdout.readline, "") if _ends_here(line, run)]
    assert run.returncode == -signal.SIGKILL, said
    capsys.readouterr()
    again = run_comparison(load_recipe(CompareRecipe, killed), data / "killed")
    assert "ask icl: 2 of 2" in capsys.readouterr().out
    assert _report(again.page, "killed") == _report(found.page, "whole")

    def nobody(*_: Any, **__: Any) -> None:
        pytest.fail("what is answered is not served again")

    monkeypatch.setattr(serving, "deploy", nobody)
    before = found.page.read_bytes(), found.page.with_suffix(".json").read_bytes()
    once_more = run_comparison(undisturbed, data / "whole")
    assert (once_more.page.read_bytes(), once_more.page.with_suffix(".json").read_bytes()) == before


def _ends_here(line: str, run: "subprocess.Popen[str]") -> bool:
    """Kill a comparison that has asked two arms; always true."""
    if line.startswith("ask icl"):
        run.kill()
    return True


def _passages(found: Any, arm: str) -> dict[str, str]:
    return {
        judged.trial.sample.question: " ".join(judged.trial.sample.passage_texts)
        for judged in found.findings.evaluation.of_arm(arm)
    }


def _report(page: Path, name: str) -> Any:
    """What a report says, without what was measured by a clock, and without the name."""
    report = json.loads(re.sub(rf"(\b|_){name}\b", "NAME", page.with_suffix(".json").read_text()))
    del report["measured"], report["identity"]["recipe"]  # a hash, of the name too
    return report
