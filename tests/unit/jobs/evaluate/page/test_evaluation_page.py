"""The page shows what a report has, as text, and needs nothing else."""

import re
import time
from dataclasses import replace

import pytest
from pages import Tags

from plait.evaluation.calibration.calibration import AbilityCalibration, Calibration
from plait.evaluation.calibration.cases import Ability
from plait.evaluation.labels.kept import MetricLabels
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import Finding, JudgeUse, Score, unsaid
from plait.evaluation.statistics.agreement import agreement
from plait.evaluation.statistics.figure import figure
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.jobs.evaluate.page.page import render
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial

PASSAGES = (SamplePassage("The key opens the door.", "doors.md"), SamplePassage("Ray 2.60.0 is installed.", "ray.md"))
CLAIM = "Ray 2.61.0 is installed."


def judged(arm: str, number: int, scores: dict[str, Score], kind: str = "", group: str = "") -> JudgedTrial:
    sample = Sample(f"question {number}?", f"reply {number}", PASSAGES, kind=kind, group=group, is_grounded=True)
    return JudgedTrial(Trial(f"{arm}{number}", str(number), arm, number, (), sample), scores)


def grounded(value: float) -> Score:
    return Score(value, findings=(Finding(CLAIM, value == 1, "Its number is not in the passages."),))


def report_of(trials: list[JudgedTrial], worth: JudgeWorth | None = None) -> EvaluationReport:
    metrics = tuple(dict.fromkeys(metric for each in trials for metric in each.scores))
    return EvaluationReport(trials, metrics, "lexical", worth=worth or JudgeWorth())


TWO_ARMS = [
    judged(
        arm,
        number,
        {
            "faithfulness": grounded(float(number % better == 0)),
            "contains": unsaid("It was cut.") if number == 7 else Score(0.5),
        },
        kind=("dates", "names")[number % 2],
        group=f"d{number}.md",
    )
    for arm, better in (("base", 4), ("rag/base", 1))
    for number in range(12)
]


def text_of(report: EvaluationReport) -> str:
    return Tags(render(report)).text


def calibration(verdicts: list[bool | None]) -> Calibration:
    truths = [number % 2 == 0 for number in range(len(verdicts))]
    right = figure([float(truth is verdict) for truth, verdict in zip(truths, verdicts, strict=True)])
    found = AbilityCalibration(
        ability=Ability.SUPPORT,
        asked=len(verdicts),
        unsaid=verdicts.count(None),
        agreement=agreement(truths, verdicts),
        by_kind={"negated": right},
        flips=None,
    )
    return Calibration(judge="lexical", seed=0, questions=20, abilities=[found], missing=[], use=JudgeUse())


def test_what_documents_models_and_judges_say_is_text_and_never_html() -> None:
    hostile = '</style><script>alert(1)</script>"><img src=http://x.example/a.png onerror=alert(1)>{{ 7 * 7 }}'
    passage = SamplePassage(hostile, hostile)
    sample = Sample(hostile, hostile, (passage,), answers=(hostile,), kind=hostile, group=hostile, is_grounded=True)
    other = replace(sample, kind="other", group="other")
    scores = {
        "faithfulness": Score(0.0, hostile, (Finding(hostile, False, hostile, 0), Finding(hostile, None, hostile))),
        hostile: unsaid(hostile),
    }
    trials = [
        JudgedTrial(Trial(f"{arm}{number}", f"{number}", arm, number, (), each, error=error), scores)
        for arm in (hostile, "b")
        for number, (each, error) in enumerate(((sample, ""), (other, hostile)))
    ]
    found = calibration([True, None] * 10).model_copy(update={"judge": hostile})
    report = EvaluationReport(
        trials,
        ["faithfulness", hostile],
        hostile,
        {hostile: [hostile]},
        worth=JudgeWorth({hostile: hostile}, {}, found),
    )
    page = Tags(render(report))
    assert page.tags.isdisjoint({"script", "img", "iframe", "link", "object", "a"})
    assert not [each for each in page.attributes if each[0] in ("src", "href") or each[0].startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_the_page_loads_nothing_and_says_so_to_the_browser() -> None:
    page = render(report_of(TWO_ARMS))
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)
    assert "nan" not in page.lower().split()


def test_the_worst_sample_comes_first_with_the_passage_beside_the_claim() -> None:
    worst = render(report_of(TWO_ARMS)).partition("The worst samples")[2]
    first = Tags(worst[: worst.index("</section>")]).text
    assert "base: 12 of 12 question 7?" in first  # nothing of it is known to be right
    assert "contains cannot be said" in first
    assert f"{CLAIM} Its number is not in the passages." in first
    assert "Passage 2, ray.md: the closest in words Ray 2.60.0 is installed." in first
    assert worst.count("question 7?") == 2


def test_a_long_passage_is_cut_around_the_claim() -> None:
    long = SamplePassage("Nothing here. " * 500 + "Ray 2.60.0 is installed. " + "Nothing there. " * 500, "ray.md")
    trial = judged("base", 0, {"faithfulness": grounded(0.0)})
    trial = replace(trial, trial=replace(trial.trial, sample=replace(trial.trial.sample, passages=(long,))))
    page = render(report_of([trial]))
    assert "Ray 2.60.0 is installed." in page
    assert len(page) < len(long.text) + 10_000


def test_figures_stand_by_arm_kind_and_group_with_what_cannot_be_said() -> None:
    text = text_of(report_of(TWO_ARMS))
    assert "kind base rag/base dates" in text
    assert "By group, the worst first" in text
    assert "12 1 cannot be said" in text
    assert "arm mean 95% interval samples base 25% 9% to 53% 12 rag/base 100%" in text


def test_differences_are_corrected_and_the_power_of_the_questions_is_said() -> None:
    text = text_of(report_of(TWO_ARMS))
    assert "corrected for all 2 comparisons (Holm 1979)" in text
    assert "base − rag/base they differ" in text
    assert "These 12 questions" in text


def test_a_useless_judge_is_called_useless_beside_its_figures() -> None:
    found = calibration([True] * 20)
    sentence = f"judge {found.abilities[0].sentence}"
    text = text_of(report_of(TWO_ARMS, JudgeWorth({"faithfulness": sentence}, {}, found)))
    assert "passages support / claims. Judge useless: cannot be told from chance on your data" in text
    assert "support useless: cannot be told from chance on your data 0.00" in text
    assert "negated 50%" in text


def test_a_judge_that_nobody_calibrated_is_not_trusted_silently() -> None:
    text = text_of(report_of(TWO_ARMS, JudgeWorth({"faithfulness": "judge not calibrated"})))
    assert "it has not been calibrated" in text
    assert "Nobody has labelled samples of this run" in text


def test_labels_of_people_stand_beside_the_judge_and_in_the_reliability_plot() -> None:
    trials = [judged("base", number, {"faithfulness": grounded(float(number % 2))}) for number in range(60)]
    labels = {f"base{number}": float(number % 4 == 1) for number in range(40)}
    worth = JudgeWorth(
        {"faithfulness": "judge not calibrated"}, {"faithfulness": MetricLabels(judge="x", labels=labels)}
    )
    page = render(report_of(trials, worth))
    assert "from 40 labels" in Tags(page).text
    assert "0%: 0%, 100%: 50%" in next(value for _, value in Tags(page).attributes if "labels by the judge" in value)


@pytest.mark.parametrize("value", [0.1 + 0.2, 0.7, 1.0])
def test_a_score_stands_in_its_tenth(value: float) -> None:
    page = render(report_of([judged("base", 0, {"token_f1": Score(value)})]))
    counts = re.search(r"in tenths: ([\d, ]+);", page)
    assert counts is not None
    assert counts[1].split(", ").index("1") == min(9, int(value * 10))


def test_two_thousand_samples_are_a_few_hundred_kilobytes_and_two_seconds() -> None:
    trials = [
        judged(arm, number, {"faithfulness": grounded(number % 5 // 4), "contains": Score(number % 3 // 2)})
        for arm in ("base", "rag/base")
        for number in range(2000)
    ]
    report = report_of(trials)
    report.as_json()  # figures are computed once, for both files
    began = time.process_time()
    page = render(report)
    assert time.process_time() - began < 2
    assert len(page.encode()) < 1_000_000
