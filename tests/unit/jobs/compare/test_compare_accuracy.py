"""One score for an answer, whatever its question asks for."""

from dataclasses import replace

import numpy as np
import pytest
from made_findings import made_findings, made_recipe

from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score
from plait.jobs.compare.accuracy import OTHER, accuracy_score, answers_of
from plait.jobs.compare.findings import FORM, LEARNED, UNANSWERABLE
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial

RIGHT = accuracy_score("contains")


@pytest.mark.parametrize(
    ("sample", "scores", "expected"),
    [
        (Sample("q", "r", answers=("7",), unanswerable=False), {"contains": 1.0, "abstention": 0.0}, 1.0),
        (Sample("q", "r", unanswerable=True), {"contains": 1.0, "abstention": 0.0}, 0.0),
        (Sample("q", "r", answers=("7",)), {"contains": 1.0, "form": 0.0}, 0.0),
        (Sample("q", "r", answers=("7",)), {"token_f1": 1.0}, None),
    ],
)
def test_what_a_question_asks_for_is_what_scores_its_answer(
    sample: Sample, scores: dict[str, float], expected: float | None
) -> None:
    trial = Trial("key", "question", "base", 0, (), sample)
    score = RIGHT(JudgedTrial(trial, {metric: Score(value) for metric, value in scores.items()}))
    assert (None if score is None else score.value) == expected


def test_what_failed_or_cannot_be_said_has_both_bounds_in_its_seed_alone() -> None:
    recipe = made_recipe(seeds=2)
    found = made_findings({"base": {LEARNED: "10"}, "lora": {LEARNED: ("1!", "0?")}}, recipe=recipe)
    base, lora = answers_of(found, RIGHT)
    assert (base.low.tolist(), base.high.tolist()) == ([[1], [0]], [[1], [0]])
    assert (lora.low.tolist(), lora.high.tolist()) == ([[1, 0], [0, 0]], [[1, 0], [1, 1]])
    assert lora.is_said.tolist() == [True, False]


def test_answers_can_be_taken_by_kind_and_by_question() -> None:
    (base,) = answers_of(made_findings({"base": {LEARNED: "10", UNANSWERABLE: "01", FORM: "11"}}), RIGHT)
    assert base.kinds == [LEARNED, UNANSWERABLE, FORM]
    assert base.of_kind(UNANSWERABLE).low.ravel().tolist() == [0, 1]
    assert np.array_equal(base.about(base.questions[1::2]).low.ravel(), [0, 1, 1])


def test_questions_without_a_kind_are_other_ones_beside_those_that_have_one() -> None:
    found = made_findings({"base": {LEARNED: "10", "": "11"}})
    (base,) = answers_of(found, RIGHT)
    assert base.kinds == [LEARNED, OTHER]
    (alone,) = answers_of(made_findings({"base": {"": "11"}}), RIGHT)
    assert alone.kinds == [""]


def test_an_arm_of_which_nothing_is_measured_has_no_answers() -> None:
    found = made_findings({"base": {LEARNED: "1"}, "lora": {LEARNED: "1"}})
    trials = [replace(each, scores={}) if each.trial.arm == "lora" else each for each in found.evaluation.trials]
    (base,) = answers_of(replace(found, evaluation=EvaluationReport(trials)), RIGHT)
    assert base.arm.name == "base"
