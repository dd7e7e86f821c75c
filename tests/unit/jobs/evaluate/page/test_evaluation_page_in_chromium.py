"""The page in a browser: it fits a phone and a screen, and asks for nothing."""

from pathlib import Path

from pages import measured

from plait.evaluation.calibration.calibration import AbilityCalibration, Calibration
from plait.evaluation.calibration.cases import Ability, CaseKind
from plait.evaluation.labels.kept import MetricLabels
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import Finding, JudgeUse, Score
from plait.evaluation.statistics.agreement import agreement
from plait.evaluation.statistics.figure import figure
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.jobs.evaluate.page.page import render
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.recipes import TokenPrice

WIDTHS = (390, 1000, 1200)
"""Of a phone, and of a screen, in pixels."""


def test_the_page_fits_a_phone_and_a_screen_and_asks_for_nothing(tmp_path: Path) -> None:
    found = measured(_page(), WIDTHS, tmp_path)
    for width in WIDTHS:
        of_width = found[width]
        assert of_width["overflow"] == 0, of_width
        assert of_width["heading"] == "Evaluation samples"
        assert of_width["bar"] > 20
        assert of_width["requests"] == 0


def _page() -> str:
    """One with long names and words, which must not make it wider than a phone."""
    word = "unbroken" * 40
    sample = Sample(word, word, (SamplePassage(word, f"{word}.md"),), kind=word, group=word, is_grounded=True)
    trials = [
        JudgedTrial(
            Trial(
                key=f"{arm}{number}",
                question_key=str(number),
                arm=arm,
                number=number,
                conversation=(),
                sample=sample,
                timings_ms={"total": 123_456.0},
                prompt_tokens=123_456,
                completion_tokens=123_456,
                cost=1234.5,
            ),
            {"faithfulness": Score(number / 20, findings=(Finding(word, False, word),)), "contains": Score(1.0)},
        )
        for arm in ("base", "rag/support-of-customers-in-german@champion")
        for number in range(20)
    ]
    labels = MetricLabels(judge="lexical", labels={trial.trial.key: 1.0 for trial in trials})
    worth = JudgeWorth({"faithfulness": "judge useless"}, {"faithfulness": labels}, _calibration())
    prices = {"all": TokenPrice(prompt=1, completion=2)}
    return render(EvaluationReport(trials, ("faithfulness", "contains"), "lexical", worth=worth, prices=prices))


def _calibration() -> Calibration:
    truths = [number % 2 == 0 for number in range(20)]
    abilities = [
        AbilityCalibration(
            ability=ability,
            asked=20,
            unsaid=0,
            agreement=agreement(truths, truths),
            by_kind={str(kind): figure([1.0] * 20) for kind in CaseKind},
            flips=None,
        )
        for ability in Ability
    ]
    return Calibration(judge="lexical", seed=0, questions=20, abilities=abilities, missing=[], use=JudgeUse())
