"""Examples before a question: the nearest, the nearest last."""

import json
from pathlib import Path

import pytest
from judging_models import WordEmbedding

from plait.errors import DataError
from plait.evaluation.eval_set import Question
from plait.jobs.compare.examples import ExamplesInPrompt, read_examples
from plait.recipes import NearestExamples


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"question": "which port has the gateway", "answer": "8000"},
        {"question": "who wrote rich", "answer": "Will"},
        {"question": "which port has the store", "answer": "9091"},
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_nearest_examples_stand_before_the_question_the_nearest_last(file: Path) -> None:
    examples = ExamplesInPrompt(NearestExamples(examples=str(file), top_k=2), WordEmbedding())
    (found,) = examples([Question(question="which port has the gateway then")])
    assert [message.content for message in found] == [
        "which port has the store",
        "9091",
        "which port has the gateway",
        "8000",
        "which port has the gateway then",
    ]
    assert [message.role for message in found] == ["user", "assistant", "user", "assistant", "user"]


def test_no_question_needs_no_example(file: Path) -> None:
    assert ExamplesInPrompt(NearestExamples(examples=str(file)), WordEmbedding())([]) == []


def test_a_bad_row_is_named_and_texts_are_no_examples(file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "q", "answer": "a"}\n{"question": "q"}\n')
    with pytest.raises(DataError, match=r"bad.jsonl:2"):
        read_examples(str(bad))
    bad.write_text('{"text": "plain text"}\n')
    with pytest.raises(DataError, match="has no example"):
        read_examples(str(bad))
