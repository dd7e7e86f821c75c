"""A run's samples go to people as a sheet, and come back as figures of every arm."""

import csv
from pathlib import Path

import pytest

from plait.errors import Conflict, InvalidInput, NotFound
from plait.evaluation.labels.place import label_place
from plait.evaluation.runs.run import begun
from plait.evaluation.runs.trial import Trial, TrialScore
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import Score, unsaid
from plait.jobs.evaluate.label_table import estimates_table
from plait.jobs.evaluate.labelling import ArmEstimate, samples_to_label, take_labels


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two arms of 60 samples; the judge calls all but ten of each right, and says nothing of two."""
    folder = tmp_path / "run"
    with begun({}, "x", folder) as opened:
        for number in range(120):
            arm = "base" if number < 60 else "rag/base"
            sample = Sample(f"Question {number}?", f"reply {number}", passages=(SamplePassage(f"text {number}"),))
            opened.add_trial(Trial(f"key-{number}", f"q{number % 60}", arm, number % 60, (), sample))
            value = unsaid("It could not be read.") if number % 60 > 57 else Score(float(number % 60 >= 10))
            opened.add_score(TrialScore(f"key-{number}", "faithfulness", "lexical", value))
    return folder


def filled_in(sheet: Path, wrong: set[str]) -> None:
    """Give every row a label."""
    rows = list(csv.reader(sheet.read_text("utf-8-sig").splitlines()))
    with sheet.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *([*row[:-1], "no" if row[0] in wrong else "yes"] for row in rows[1:])])


def write(run: Path, metric: str, judge: str | None, count: int, seed: int, sheet: Path) -> int:
    rows = samples_to_label(run, metric, judge, count, seed)
    label_place(run, metric, sheet, None).write(rows)
    return len(rows)


def take(run: Path, metric: str, judge: str | None, sheet: Path) -> list[ArmEstimate]:
    place = label_place(run, metric, sheet, None)
    return take_labels(run, metric, judge, place.read() or {}, place.title)


def test_labels_of_a_sheet_are_estimates_of_every_arm(run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    assert write(run, "faithfulness", None, 40, 0, sheet) == 80
    rows = list(csv.DictReader(sheet.read_text("utf-8-sig").splitlines(keepends=True)))
    assert rows[0].keys() == {"id", "question", "reply", "passages", "expected", "faithfulness"}
    assert all("[1] text" in row["passages"] for row in rows)
    filled_in(sheet, {f"key-{number}" for number in range(20)})
    base, retrieved = take(run, "faithfulness", None, sheet)
    assert (base.arm, base.judged.submitted, base.judged.unsaid) == ("base", 60, 2)
    assert not isinstance(base.labelled, str)
    assert not isinstance(retrieved.labelled, str)
    assert base.labelled.low < 40 / 60 < base.labelled.high < 0.9
    assert retrieved.labelled.value == 1.0
    assert retrieved.labelled.low < 1.0
    assert estimates_table("faithfulness", [base, retrieved]).row_count == 2


def test_what_is_labelled_is_not_asked_again(run: Path, tmp_path: Path) -> None:
    write(run, "faithfulness", None, 30, 0, tmp_path / "first.csv")
    filled_in(tmp_path / "first.csv", set())
    take(run, "faithfulness", None, tmp_path / "first.csv")
    assert write(run, "faithfulness", None, 40, 1, tmp_path / "second.csv") == 20
    with pytest.raises(InvalidInput, match=r"has a label\. Ask for more of every arm with --count"):
        samples_to_label(run, "faithfulness", None, 30, 0)


def test_few_labels_are_kept_and_said_to_be_few(run: Path, tmp_path: Path) -> None:
    write(run, "faithfulness", "lexical", 20, 0, tmp_path / "sheet.csv")
    filled_in(tmp_path / "sheet.csv", set())
    found = take(run, "faithfulness", "lexical", tmp_path / "sheet.csv")
    assert [each.labelled for each in found] == ["20 labels; an estimate takes 30"] * 2


def test_what_cannot_be_labelled_is_said(run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    with pytest.raises(InvalidInput, match="has no scores of faithfulnes"):
        write(run, "faithfulnes", None, 40, 0, sheet)
    with pytest.raises(InvalidInput, match="'nobody' has not scored faithfulness"):
        write(run, "faithfulness", "nobody", 40, 0, sheet)
    with pytest.raises(NotFound, match="holds no run"):
        write(tmp_path, "faithfulness", None, 40, 0, sheet)
    with pytest.raises(InvalidInput, match=r"There is no folder '.*gone' for the sheet"):
        write(run, "faithfulness", None, 40, 0, tmp_path / "gone" / "sheet.csv")
    with pytest.raises(InvalidInput, match="'--to excel' is no place for labels"):
        label_place(run, "faithfulness", None, "excel")
    for both_or_none in ((None, None), (sheet, "mlflow")):
        with pytest.raises(InvalidInput, match="not said where samples are labelled, or twice"):
            label_place(run, "faithfulness", *both_or_none)
    sheet.write_text("id,faithfulness\nstranger,1\n")
    with pytest.raises(InvalidInput, match=r"The sheet '.*sheet.csv' labels 1 samples that the run"):
        take(run, "faithfulness", None, sheet)


def test_labels_that_another_judge_chose_are_not_mixed(run: Path, tmp_path: Path) -> None:
    write(run, "faithfulness", None, 40, 0, tmp_path / "first.csv")
    with begun({}, "x", run) as opened:
        for number in range(120):
            opened.add_score(TrialScore(f"key-{number}", "faithfulness", "embedding", Score(0.5)))
    with pytest.raises(InvalidInput, match=r"embedding, lexical have scored faithfulness\. Name one with --judge"):
        write(run, "faithfulness", None, 40, 0, tmp_path / "second.csv")
    with pytest.raises(Conflict, match="chosen by the scores of 'lexical'"):
        write(run, "faithfulness", "embedding", 40, 0, tmp_path / "second.csv")
