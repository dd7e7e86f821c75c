"""Figures count what was submitted, whatever could be said of it."""

import io
import json
import re
from pathlib import Path

from rich.console import Console

from plait.evaluation.labels.kept import keep_labels
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample
from plait.evaluation.score import JudgeUse, Score, unsaid
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.jobs.evaluate.tables import answers_table, costs_table, figures_table, kinds_table, notes


def judged(arm: str, number: int, value: float | None, kind: str = "", group: str = "") -> JudgedTrial:
    trial = Trial(
        key=f"{arm}{number}",
        question_key=str(number),
        arm=arm,
        number=number,
        conversation=(),
        sample=Sample(f"question {number}", "[bold]reply", answers=("3",), kind=kind, group=group),
        timings_ms={"total": 10.0 * number},
        completion_tokens=number,
    )
    return JudgedTrial(trial, {"contains": unsaid("It was cut.") if value is None else Score(value)})


REPORT = EvaluationReport(
    [
        *(judged("base", number, 0.0, "dates", f"d{number % 3}") for number in range(6)),
        *(judged("rag/base", number, 1.0, "dates", f"d{number % 3}") for number in range(5)),
        judged("rag/base", 5, None, "names", "d2"),
    ],
    judge="lexical",
    inapplicable={"abstention": ["unanswerable"]},
)


def test_what_cannot_be_said_widens_the_interval_and_stays_in_the_denominator() -> None:
    said = [judged("x", number, 1.0, "said") for number in range(5)]
    report = EvaluationReport([*said, judged("x", 5, None, "unsaid")])
    found, surely = report.figure("contains", "x"), report.figure("contains", "x", "said")
    assert found is not None
    assert surely is not None
    assert (found.value, found.submitted, found.unsaid, found.high) == (1.0, 6, 1, 1.0)
    assert (surely.submitted, surely.unsaid) == (5, 0)
    assert found.low < surely.low
    assert report.figure("contains", "x", "places") is None
    assert report.figure("faithfulness", "x") is None


def test_figures_are_by_arm_kind_and_group_as_json() -> None:
    written = json.loads(json.dumps(REPORT.as_json(), allow_nan=False))
    shown = {(each["arm"], each["kind"], each["group"]): each["submitted"] for each in written["figures"]}
    assert shown["rag/base", None, None] == 6
    assert shown["rag/base", "names", None] == 1
    assert shown["base", None, "d1"] == 2
    (comparison,) = written["comparisons"]
    assert (comparison["first"], comparison["second"], comparison["unsaid"]) == ("base", "rag/base", 1)
    assert written["trials"][-1]["scores"]["contains"] == {"value": None, "reason": "It was cut."}


def test_the_tables_show_every_figure_and_run_no_markup() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    for table in (figures_table(REPORT), costs_table(REPORT), answers_table(REPORT, [5])):
        console.print(table)
    text = console.export_text()
    assert "[bold]reply" in text
    assert "✗" in text
    row = next(line for line in text.splitlines() if "rag/base" in line)
    assert "100%" in row
    assert row.rstrip(" │").endswith("1")  # cannot be said
    assert "25 ms" in text


def test_tables_can_be_read_in_eighty_columns() -> None:
    long = [judged("rag/support", number, 1.0, f"a kind of question {number}") for number in range(6)]
    metrics = ("citation_precision",)
    named = [JudgedTrial(each.trial, {"citation_precision": Score(1.0)}) for each in long]
    console = Console(width=80, record=True, file=io.StringIO())
    for table in (figures_table(EvaluationReport(named, metrics)), kinds_table(EvaluationReport(named, metrics))):
        console.print(table)
    text = console.export_text()
    assert "…" not in text
    assert text.count("100%") == 1 + 1 + 6  # the mean, its bound, and every kind


def test_the_notes_say_what_the_tables_do_not_show() -> None:
    said = notes(REPORT)
    assert said[0] == "abstention applies to no sample: they have no unanswerable"
    assert said[1].startswith("contains: These 5 questions can tell 100 points;")
    assert said[2] == "contains: the best arm is not surely better than any other"  # three documents tell little
    apart = EvaluationReport([judged(arm, number, float(arm == "a")) for arm in ("a", "b") for number in range(12)])
    assert notes(apart) == ["contains: a beats b by 100 points (p = 0.00049)"]
    tied = EvaluationReport([judged(arm, number, 1.0) for arm in ("a", "b") for number in range(6)])
    assert notes(tied)[0].startswith("contains: These 6 questions")
    assert notes(tied)[1] == "contains: the best arm is not surely better than any other"
    values = {"a": [1.0] * 12, "b": [1.0] * 11 + [0.0], "c": [0.0] * 12}
    three = [judged(arm, number, value) for arm, of_arm in values.items() for number, value in enumerate(of_arm)]
    twice = [JudgedTrial(each.trial, {**each.scores, "token_f1": each.scores["contains"]}) for each in three]
    said = notes(EvaluationReport(twice, ("contains", "token_f1")))
    assert said[0].startswith("contains: a beats c by 100 points (p = ")
    assert said[0].endswith("; not surely b")
    assert "As one of 6 comparisons (Holm) at worst" in said[1]
    assert len(said) == 3  # power is said of the first metric alone


def test_samples_that_nothing_can_be_measured_of_are_not_passed_over_in_silence() -> None:
    (said,) = notes(EvaluationReport([JudgedTrial(judged("x", 0, 1.0).trial, {})], ()))
    assert said.startswith("no metric applies")


def test_a_judged_figure_has_what_its_judge_is_worth_beside_it(tmp_path: Path) -> None:
    trials = [
        JudgedTrial(each.trial, {**each.scores, "faithfulness": Score(float(number % 3 > 0), use=JudgeUse(1, 20, 2))})
        for number in range(60)
        for each in [judged("base", number, 1.0)]
    ]
    keep_labels(tmp_path, "faithfulness", "lexical", {f"base{number}": float(number % 2) for number in range(40)})
    (tmp_path / "earlier").mkdir()
    keep_labels(tmp_path / "earlier", "contains", "lexical", {"base1": 1.0})  # of other replies
    metrics = ("contains", "faithfulness")
    worth = JudgeWorth.read("lexical", metrics, [tmp_path], [tmp_path / "earlier"])
    report = EvaluationReport(trials, metrics, "lexical", worth=worth)
    assert worth.sentences == {"faithfulness": "judge not calibrated"}
    assert report.by_labels("contains", "base") is None
    said = notes(report)
    assert said[0] == "faithfulness: judge not calibrated"
    assert re.fullmatch(r"faithfulness of base by people: \d+% \(\d+% to \d+%\), from 40 labels", said[1])
    assert said[2] == "judging took 60 calls, 1200 tokens read, 120 written"
    (by_labels,) = json.loads(json.dumps(report.as_json()))["by_labels"]
    assert (by_labels["metric"], by_labels["arm"], by_labels["labels"]) == ("faithfulness", "base", 40)
    other = JudgeWorth.read("embedding", metrics, [tmp_path], [])
    assert other.labels == {}  # they were chosen by another judge's scores
