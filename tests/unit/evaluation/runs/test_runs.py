"""A run keeps every trial and score whole, and is gone on with until it has ended."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from plait.errors import Conflict, DataError, NotFound
from plait.evaluation.runs.parts import Parts
from plait.evaluation.runs.run import Run, begun, earlier_runs, opened
from plait.evaluation.runs.tables import TRIALS, trial_row
from plait.evaluation.runs.trial import Trial, TrialScore
from plait.evaluation.sample import Sample, SampleCitation, SamplePassage
from plait.evaluation.score import Finding, JudgeUse, Score, unsaid
from plait.models.message import Message

PASSAGE = SamplePassage("It is 3.", "a.md", "c1", 4, 12)
TRIAL = Trial(
    key="k",
    question_key="q",
    arm="rag/base",
    number=0,
    conversation=(Message("system", "Be brief."), Message("user", "Which?")),
    sample=Sample(
        question="Which?",
        reply="It is 3.",
        passages=(PASSAGE,),
        citations=(SampleCitation(0, 8, 0),),
        answers=("3",),
        sources=("a.md",),
        reference_passages=(SamplePassage("three"),),
        kind="numbers",
        group="a",
        unanswerable=False,
        is_grounded=True,
        pattern="It is .+",
    ),
    answered_by="base",
    finish_reason="stop",
    timings_ms={"total": 12.5, "retrieval": 2.0},
    prompt_tokens=20,
    cached_tokens=0,
    completion_tokens=4,
    max_tokens=48,
    temperature=0.0,
    cost=0.25,
    asked_at=datetime(2026, 1, 2, tzinfo=UTC),
)
FOREIGN = Trial(key="f", question_key="q", arm="x", number=1, conversation=(), sample=Sample("Which?", "4"))
SCORES = [
    TrialScore(
        "k", "faithfulness", "lexical", Score(0.5, "1 of 2", (Finding("It is 3.", True, "", 0),), JudgeUse(1, 2, 3))
    ),
    TrialScore("k", "abstention", "lexical", unsaid("It was cut.", (Finding("x", None),)), '{"judge": "lexical"}'),
]


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    with begun({"a": 1}, "eval", tmp_path / "run") as run:
        run.add_trial(TRIAL)
        run.flush()
        run.add_trial(FOREIGN)
        for score in SCORES:
            run.add_score(score)
    again = opened(tmp_path / "run")
    assert again.trials() == {"k": TRIAL, "f": FOREIGN}
    assert again.scores() == SCORES
    assert pq.read_table(tmp_path / "run" / "trials").schema.names == TRIALS.names


def test_a_run_that_has_not_ended_is_gone_on_with_and_an_ended_one_is_not() -> None:
    with begun({"models": ("a",)}, "again") as first:
        first.add_trial(TRIAL)
    with begun({"models": ("a",)}, "again") as second:
        assert second.folder == first.folder
        assert second.trials() == {"k": TRIAL}
        second.add_trial(FOREIGN)
        second.add_score(SCORES[0])
        second.finish(["f"])  # an alias has moved since the first was asked
        assert (second.trials(), second.scores()) == ({"f": FOREIGN}, [])
    with begun({"models": ("a",)}, "again") as third, begun({"models": ("b",)}, "again") as fourth:
        assert third.trials() == {}
        assert [run.folder.name for run in (first, third, fourth)] == ["again-1", "again-2", "again-3"]
        assert earlier_runs(fourth.folder) == [third.folder, first.folder]


def test_two_processes_never_write_to_one_run(tmp_path: Path) -> None:
    with begun({}, "busy") as first, begun({}, "busy") as second:
        assert first.folder != second.folder
    with (
        begun({}, "x", tmp_path),
        pytest.raises(Conflict, match="Another process is at work"),
        begun({}, "x", tmp_path),
    ):
        pass


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    with begun({"a": 1}, "x", tmp_path) as run, pytest.raises(NotFound, match="holds no run"):
        opened(tmp_path / "elsewhere")
    with pytest.raises(Conflict, match="holds a run that asks something else"), begun({"a": 2}, "x", tmp_path):
        pass
    with begun({"a": 1}, "x", tmp_path) as run:
        run.finish([])
    with pytest.raises(Conflict, match="holds a run that has ended"), begun({"a": 1}, "x", tmp_path):
        pass
    with pytest.raises(Conflict, match=r"run.json' is a file"), begun({"a": 1}, "x", tmp_path / "run.json"):
        pass
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "a.md").touch()
    with pytest.raises(Conflict, match="holds other files, and no run"), begun({"a": 1}, "x", tmp_path / "handbook"):
        pass
    assert [file.name for file in (tmp_path / "handbook").iterdir()] == ["a.md"]


def test_parts_become_one_and_the_last_of_equal_rows_counts(tmp_path: Path) -> None:
    parts = Parts(tmp_path, TRIALS, ["key"])
    failed = replace(TRIAL, error="The server was busy.")
    for trial in (failed, FOREIGN, TRIAL):
        parts.add(trial_row(trial))
        parts.flush()
    assert len(list(tmp_path.iterdir())) == 3
    parts.merge(lambda row: True)
    (only,) = tmp_path.iterdir()
    assert [row["error"] for row in parts.rows()] == ["", ""]
    only.write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read"):
        parts.rows()


def test_trials_that_were_kept_before_a_column_was_added_are_read_and_merged_with_new_ones(tmp_path: Path) -> None:
    with begun({}, "x", tmp_path) as run:
        run.add_trial(FOREIGN)
    (part,) = (tmp_path / "trials").iterdir()
    pq.write_table(pq.read_table(part).drop_columns(["pattern"]), part)
    with begun({}, "x", tmp_path) as run:
        assert run.trials() == {"f": FOREIGN}
        run.add_trial(TRIAL)
        run.finish(["f", "k"])
        assert run.trials() == {"f": FOREIGN, "k": TRIAL}


def test_a_table_of_other_columns_is_named(tmp_path: Path) -> None:
    with begun({}, "x", tmp_path) as run:
        run.add_score(SCORES[0])
    (tmp_path / "scores").rename(tmp_path / "trials")
    with pytest.raises(DataError, match="other columns"):
        Run(tmp_path).trials()
