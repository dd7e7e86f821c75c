"""Eval sets are read from every kind of table that training data may be."""

import gzip
from pathlib import Path

import pytest

from plait.errors import DataError
from plait.jobs.evaluate.questions import Question, read_questions


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.JSON", b'[{"question": "Which?", "answer": "3", "source": null, "note": 1}]'),
        ("a.jsonl.gz", gzip.compress(b'{"question": "Which?", "answer": "3", "kind": ""}\n')),
        ("a.csv", b"question;answer;source\r\nWhich?;3;\r\n"),
    ],
)
def test_questions_stand_in_any_table(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_questions(tmp_path / name) == [Question(question="Which?", answer="3")]


def test_what_is_no_table_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Which?")
    for name, why in (("a.md", "is no table"), (".", "is a folder"), ("b.csv", "does not exist")):
        with pytest.raises(DataError, match=why):
            read_questions(tmp_path / name)
    (tmp_path / "a.csv").write_text("question,answer\nWhich?,3\nWhere?\n")
    with pytest.raises(DataError, match=r"a\.csv:3 has 1 values, and the header has 2 names"):
        read_questions(tmp_path / "a.csv")
