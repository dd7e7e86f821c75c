"""Eval sets are read from every kind of table that training data may be; a bad row is named by its place."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plait.errors import DataError
from plait.evaluation.eval_set import Question, RowMessage, RowPassage, read_questions
from plait.models.message import Message

WHICH = Question(question="Which?", answers=("3",))


def written(folder: Path, *rows: dict[str, Any]) -> str:
    file = folder / "eval.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.JSON", b'[{"question": "Which?", "answer": "3", "source": null, "note": 1}]'),
        ("a.jsonl.gz", gzip.compress(b'{"question": "Which?", "answers": ["3"], "kind": ""}\n', mtime=0)),
        ("a.csv", b"question;answer;source\r\nWhich?;3;\r\n"),
        ("b.csv", b'question,answers\r\nWhich?,"[""3""]"\r\n'),
    ],
)
def test_questions_stand_in_any_table(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_questions(str(tmp_path / name)) == [WHICH]


def test_a_text_that_looks_like_a_list_stays_what_it_is_unless_it_is_one_of_texts(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": answer} for answer in ("[1, 2]", "[1] says so", '["1", "2"]')]
    found = [question.answers for question in read_questions(written(tmp_path, *rows))]
    assert found == [("[1, 2]",), ("[1] says so",), ("1", "2")]


def test_a_row_may_say_everything_or_only_what_is_asked(tmp_path: Path) -> None:
    full = {
        "question": "Which?",
        "answers": {"text": ["3", "three"], "answer_start": [1, 5]},  # as in SQuAD
        "source": "cafe\u0301.md",
        "kind": "numbers",
        "group": "a",
        "pattern": "It is .+",
        "passages": ["It is 3.", {"text": "Three.", "source": "b.md"}],
    }
    only, whole = read_questions(written(tmp_path, {"question": "Why?"}, full))
    assert only == Question(question="Why?")
    assert (whole.answers, whole.sources, whole.kind, whole.group) == (("3", "three"), ("café.md",), "numbers", "a")
    assert whole.sample("r").pattern == "It is .+"
    assert whole.passages == (RowPassage(text="It is 3."), RowPassage(text="Three.", source="b.md"))
    assert [passage.source for passage in whole.sample("r").reference_passages] == ["", "b.md"]


def test_a_conversation_is_asked_whole_and_its_last_message_is_the_question(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}]
    (question,) = read_questions(written(tmp_path, {"messages": turns, "unanswerable": True}))
    assert question.asked == "Which?"
    assert question.conversation == (Message("system", "Be brief."), Message("user", "Which?"))
    assert question.sample("no").unanswerable is True


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"answers": ["a"]}, r"eval.jsonl:2 is no question. It needs a question, or messages."),
        ({"question": "q", "answer": 3}, "The field 'answer' must be a text"),
        ({"question": "q", "answers": ["a", ""]}, r"The field 'answers.1' must have at least 1 character"),
        ({"question": "q", "answer": "a", "answers": ["b"]}, "It has 'answers' and 'answer', which mean the same"),
        ({"question": "q", "answers": ["a"], "unanswerable": True}, "It is unanswerable and has answers"),
        ({"question": "q", "messages": [{"role": "user", "content": "q"}]}, "It has a question and messages"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "must end with what the user says"),
        (
            {"question": "q", "pattern": "a("},
            r"'pattern' is no regular expression \(RE2\): missing \): a\(\.",
        ),
        ({"question": "q", "pattern": "(a{999}){999}"}, "invalid repetition size"),  # it would take gigabytes
        ({"question": "q", "passages": [{"source": "a.md"}]}, r"The field 'passages.0.text' is required"),
    ],
)
def test_the_first_bad_row_is_named_by_its_place(tmp_path: Path, row: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_questions(written(tmp_path, {"question": "good"}, row))
    assert len(read_questions(written(tmp_path, {"question": "good"}, row), limit=1)) == 1


def test_what_is_no_table_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Which?")
    for name, why in (("a.md", "is no table"), (".", "is no table"), ("b.csv", "There is no file or folder")):
        with pytest.raises(DataError, match=why):
            read_questions(str(tmp_path / name))
    (tmp_path / "a.csv").write_text("question,answer\nWhich?,3\nWhere?\n")
    with pytest.raises(DataError, match=r"a\.csv:3 has 1 values, and the header has 2 names"):
        read_questions(str(tmp_path / "a.csv"))


def test_questions_may_lie_in_a_bucket(object_store: Any) -> None:
    object_store.mkdir("evaluation")
    object_store.pipe("evaluation/a.csv.gz", gzip.compress(b"question,answer\nWhich?,3\n"))
    assert read_questions("s3://evaluation/a.csv.gz") == [WHICH]
    with pytest.raises(DataError, match="There is nothing at 's3://evaluation/b"):
        read_questions("s3://evaluation/b.csv")


def test_rows_that_say_the_same_have_one_digest() -> None:
    assert WHICH.digest() == Question.model_validate({"question": "Which?", "answer": "3"}).digest()
    assert WHICH.digest() != Question(question="Which?", answers=("3", "4")).digest()
    assert (
        Question(messages=(RowMessage(role="user", content="Which?"),)).digest() != Question(question="Which?").digest()
    )
