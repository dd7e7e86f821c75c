"""Samples of other systems are read as they write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from plait.errors import DataError
from plait.evaluation.given_samples import read_samples
from plait.evaluation.sample import SampleCitation


def written(folder: Path, *rows: dict[str, Any]) -> str:
    file = folder / "samples.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Which?", "answer": "It is 3 [1].", "contexts": ["Three."], "ground_truth": "3"},
        {"user_input": "Which?", "response": "It is 3 [1].", "retrieved_contexts": ["Three."], "reference": "3"},
        {
            "input": "Which?",
            "actual_output": "It is 3 [1].",
            "retrieval_context": ["Three."],
            "expected_output": "3",
        },
        {"question": "Which?", "reply": "It is 3 [1].", "passages": [{"text": "Three."}], "answers": ["3"]},
    ],
)
def test_columns_mean_what_they_mean_to_whoever_writes_them(tmp_path: Path, row: dict[str, Any]) -> None:
    (trial,) = read_samples(written(tmp_path, row))
    sample = trial.sample
    assert (sample.question, sample.reply, sample.answers) == ("Which?", "It is 3 [1].", ("3",))
    assert [passage.text for passage in sample.passages] == ["Three."]
    assert sample.citations == (SampleCitation(0, 11, 0),)
    assert sample.is_grounded


def test_arms_are_paired_by_question_also_where_one_is_asked_twice(tmp_path: Path) -> None:
    rows = [{"question": "Which?", "response": said, "model": arm} for arm in "ab" for said in ("1", "2")]
    trials = read_samples(written(tmp_path, *rows))
    assert [(trial.arm, trial.number) for trial in trials] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert trials[0].question_key == trials[2].question_key != trials[1].question_key == trials[3].question_key
    assert len({trial.key for trial in trials}) == 4
    assert not trials[0].sample.is_grounded  # no passages were looked for


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"question": "q"}, r"samples.jsonl:1 is no sample. The field 'reply' is required"),
        ({"question": "q", "answer": "a", "response": "b"}, "It has 'response' and 'answer', which mean the same"),
        ({"reply": "a"}, "It needs a question, or messages"),
        ({"question": "q", "reply": "a", "pattern": "["}, "The field 'pattern' is no regular expression"),
        ({"question": "q", "reply": "a\ud800"}, r"samples.jsonl:1 holds half a character"),
        ({"question": "q", "reply": "a", "latency_ms": float("nan")}, "'latency_ms' must be a finite number"),
        ({"question": "q", "reply": "a", "prompt_tokens": 10**20}, "'prompt_tokens' must be less than or equal"),
        ({"question": "q", "reply": "a", "contexts": [3]}, r"contexts"),
        (
            {"question": "q", "reply": "a", "contexts": ["c"], "citations": [{"start": 0, "end": 1, "passage": 1}]},
            "A citation is of no passage",
        ),
    ],
)
def test_a_bad_sample_is_named_by_its_place(tmp_path: Path, row: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_samples(written(tmp_path, row))
