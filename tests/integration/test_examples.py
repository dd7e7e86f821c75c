"""The scripts of examples/ as they stand, on tiny models. Together they deploy twice, which takes most of a minute."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.usefixtures("ray_cluster"), pytest.mark.timeout(240)]

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str, *arguments: str) -> str:
    """What the script printed."""
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_documents_are_ingested_and_a_question_is_answered_from_them(
    docs: Path, tiny_embedder: Path, tiny_model: Path
) -> None:
    models = (f"embedding.model={tiny_embedder}", "chunk.max_tokens=48", f"serve.llm.model={tiny_model}")
    said = run("ingest_and_ask.py", str(docs), "some words of a.md in part 2", *models)
    assert "3 documents written" in said
    assert "  from a.md, score " in said


def test_an_adapter_is_trained_and_answers_beside_its_base_model(tiny_model: Path, tmp_path: Path) -> None:
    examples = tmp_path / "train.jsonl"
    rows = [{"question": f"Which number is {n}?", "answer": f"It is {n}."} for n in range(16)]
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    short = (f"model.source={tiny_model}", "model.dtype=float32", "train.epochs=1")
    said = run("train_and_serve.py", str(examples), "Which number is 3?", *short)
    assert "example:1 is registered" in said
    assert "base: " in said
    assert "example: " in said
