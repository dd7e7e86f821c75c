"""The scripts of examples/ as they stand, on tiny models, each in this process; what they train, they train in it too.

Together they deploy twice, which takes half a minute.
"""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("ingestion_in_place", "training_in_place")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """run(script, argument, …) returns what the script printed."""

    def run(script: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_documents_are_ingested_and_a_question_is_answered_from_them(
    run: Callable[..., str], docs: Path, tiny_embedder: Path, tiny_model: Path
) -> None:
    models = (f"embedding.model={tiny_embedder}", "chunk.max_tokens=48", f"serve.llm.model={tiny_model}")
    said = run("ingest_and_ask.py", str(docs), "some words of a.md in part 2", *models)
    assert "3 documents written" in said
    assert "  from a.md, score " in said


def test_an_adapter_is_trained_and_answers_beside_its_base_model(
    run: Callable[..., str], tiny_model: Path, tmp_path: Path
) -> None:
    examples = tmp_path / "train.jsonl"
    rows = [{"question": f"Which number is {n}?", "answer": f"It is {n}."} for n in range(16)]
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    short = (f"model.source={tiny_model}", "model.dtype=float32", "train.epochs=1")
    said = run("train_and_serve.py", str(examples), "Which number is 3?", *short)
    assert "example:1 is registered" in said
    assert "base: " in said
    assert "example: " in said
