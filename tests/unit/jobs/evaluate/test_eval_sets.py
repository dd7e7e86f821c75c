"""Eval sets are read from every kind of table that training data may be."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from plait.errors import DataError, Unavailable
from plait.jobs.evaluate.job import evaluate
from plait.jobs.evaluate.questions import Question, read_questions
from plait.recipes import EvaluateRecipe


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.JSON", b'[{"question": "Which?", "answer": "3", "source": null, "note": 1}]'),
        ("a.jsonl.gz", gzip.compress(b'{"question": "Which?", "answer": "3", "kind": ""}\n', mtime=0)),
        ("a.csv", b"question;answer;source\r\nWhich?;3;\r\n"),
    ],
)
def test_questions_stand_in_any_table(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_questions(str(tmp_path / name)) == [Question(question="Which?", answer="3")]


def test_what_is_no_table_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Which?")
    for name, why in (("a.md", "is no table"), (".", "is no table"), ("b.csv", "There is no file or folder")):
        with pytest.raises(DataError, match=why):
            read_questions(str(tmp_path / name))
    (tmp_path / "a.csv").write_text("question,answer\nWhich?,3\nWhere?\n")
    with pytest.raises(DataError, match=r"a\.csv:3 has 1 values, and the header has 2 names"):
        read_questions(str(tmp_path / "a.csv"))


def test_a_guessed_encoding_of_an_eval_set_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "eval.csv"
    data.write_bytes("question,answer\nWie heißt die Straße?,Bärenweg natürlich\n".encode("cp1252"))
    with pytest.raises(Unavailable):
        evaluate(EvaluateRecipe(data=str(data), models=["x"]), "http://127.0.0.1:9")
    assert f"data: {data}: read as cp1252 (guessed)" in capsys.readouterr().out


def test_questions_may_lie_in_a_bucket(object_store: Any) -> None:
    object_store.mkdir("evaluation")
    object_store.pipe("evaluation/a.csv.gz", gzip.compress(b"question,answer\nWhich?,3\n"))
    assert read_questions("s3://evaluation/a.csv.gz") == [Question(question="Which?", answer="3")]
    with pytest.raises(DataError, match="There is nothing at 's3://evaluation/b"):
        read_questions("s3://evaluation/b.csv")
