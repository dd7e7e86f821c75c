"""The outcomes that policies are learned from are those of compare.json, and what is missing is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_findings import ANSWERS, made_findings, made_recipe

from plait.errors import InvalidInput
from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.findings import CHANGED, FORM, LEARNED, UNANSWERABLE, Findings
from plait.jobs.compare.outcomes import ComparisonOutcomes, read_outcomes
from plait.jobs.compare.report import REPORT, as_json


def outcomes_of(findings: Findings, folder: Path) -> ComparisonOutcomes:
    (folder / REPORT).write_text(json.dumps(as_json(findings, conclude(findings))))
    return read_outcomes(folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ComparisonOutcomes:
    return outcomes_of(made_findings(), tmp_path_factory.mktemp("comparison"))


def test_every_question_has_its_quality_and_tokens_by_arm(found: ComparisonOutcomes) -> None:
    outcomes = found.outcomes
    assert [(arm.name, arm.model) for arm in outcomes.arms] == [
        ("base", "base"),
        ("lora", "support-lora:1"),
        ("rag/base", "rag/base"),
        ("rag/lora", "rag/support-lora:1"),
    ]
    assert outcomes.quality.shape == outcomes.tokens.shape == (80, 4)
    assert set(outcomes.kinds) == {LEARNED, CHANGED, UNANSWERABLE, FORM}
    for column, arm in enumerate(outcomes.arms):
        for kind, marks in ANSWERS[arm.name].items():
            of_kind = [outcomes.quality[row, column] for row in range(80) if outcomes.kinds[row] == kind]
            assert of_kind == [float(mark) for mark in marks], (arm.name, kind)
    assert outcomes.tokens[0].tolist() == [30, 30, 230, 230]
    assert outcomes.questions[0] == "What is fact 0 of the kind learned?"
    assert outcomes.groups[0] == "0.md"
    assert (found.command, found.left_out, len(found.sha256)) == ("plait compare compare.yaml", [], 64)


def test_of_several_trainings_the_first_is_the_one_that_is_served(tmp_path: Path) -> None:
    answers: Any = {"base": {LEARNED: "10"}, "lora": {LEARNED: ["01", "11"]}}
    outcomes = outcomes_of(made_findings(answers, recipe=made_recipe(seeds=2)), tmp_path).outcomes
    assert outcomes.quality.tolist() == [[1, 0], [0, 1]]
    assert outcomes.arms[1].model == "support-lora:1"


def test_a_failed_answer_is_wrong_and_one_that_nobody_can_judge_is_left_out(tmp_path: Path) -> None:
    answers = {"base": {LEARNED: "101?"}, "rag/base": {LEARNED: "1!11"}}
    found = outcomes_of(made_findings(answers), tmp_path)
    assert found.outcomes.quality.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert found.outcomes.tokens.tolist() == [[30, 230]] * 3
    assert found.left_out == ["1 of 4 questions are left out: whether an answer is right cannot be said."]


def test_arms_that_no_server_answers_as_are_left_out_and_told(tmp_path: Path) -> None:
    recipe = made_recipe(
        icl={"examples": "train.jsonl"},
        endpoints={"big": {"base_url": "http://host/v1", "model": "big"}},
        changed={"documents": "now/", "train": "now.jsonl"},
    )
    answers = {
        "base": {LEARNED: "10", UNANSWERABLE: "10"},
        "icl": {LEARNED: "11", UNANSWERABLE: "10"},
        "big": {LEARNED: "11", UNANSWERABLE: "10"},
        "lora updated": {LEARNED: "11"},
    }
    found = outcomes_of(made_findings(answers, recipe=recipe), tmp_path)
    assert [arm.name for arm in found.outcomes.arms] == ["base"]
    assert sorted(found.left_out) == [
        "big is left out: no model id of a server answers as it.",
        "icl is left out: no model id of a server answers as it.",
        "lora updated is left out: it was not asked every question.",
    ]


def _without(*path: str) -> Callable[[Any], None]:
    def remove(values: Any) -> None:
        for part in path[:-1]:
            values = values[part]
        del values[path[-1]]

    return remove


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without("arms"), "'arms' is required"),
        (_without("recipe", "accuracy"), "'recipe.accuracy' is required"),
        (lambda values: values["evaluation"]["trials"][1].update(question=7), "'evaluation.trials.1.question'"),
        (lambda values: values["evaluation"].update(trials=[]), "no arm that a policy could choose"),
        (lambda values: values.update(arms=[]), "no arm that a policy could choose"),
    ],
)
def test_a_comparison_that_cannot_be_read_is_said(tmp_path: Path, damage: Callable[[Any], None], told: str) -> None:
    findings = made_findings({"base": {LEARNED: "10"}})
    values = as_json(findings, conclude(findings))
    damage(values)
    (tmp_path / REPORT).write_text(json.dumps(values))
    with pytest.raises(InvalidInput) as raised:
        read_outcomes(tmp_path)
    assert told in str(raised.value)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"recipe": NaN}'])
def test_a_folder_of_no_comparison_is_said(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / REPORT).write_text(text)
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        read_outcomes(tmp_path)


def test_answers_whose_tokens_nobody_counted_are_said(tmp_path: Path) -> None:
    findings = made_findings({"base": {LEARNED: "10"}})
    values: Any = as_json(findings, conclude(findings))
    for trial in values["evaluation"]["trials"]:
        trial["prompt_tokens"] = None
    (tmp_path / REPORT).write_text(json.dumps(values))
    with pytest.raises(InvalidInput, match="Nobody counted the tokens of base"):
        read_outcomes(tmp_path)
