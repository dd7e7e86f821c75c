"""From findings to a verdict, whole: who may be best, who is recommended, and that it is the same each time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import pytest
from made_findings import ANSWERS, made_findings, made_recipe

from plait.errors import InvalidInput
from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.findings import CHANGED, FORM, LEARNED, UNANSWERABLE
from plait.jobs.compare.verdict import ArmVerdict, KindVerdict, Verdict
from plait.jobs.evaluate.report import EvaluationReport


def arm(verdict: Verdict, name: str) -> ArmVerdict:
    return next(each for each in verdict.arms if each.arm == name)


def of_kind(verdict: Verdict, kind: str) -> KindVerdict:
    return next(each for each in verdict.kinds if each.kind == kind)


def test_kinds_that_differ_have_best_arms_of_their_own() -> None:
    verdict = conclude(made_findings())
    assert [kind.kind for kind in verdict.kinds] == [LEARNED, CHANGED, UNANSWERABLE, FORM]
    assert set(of_kind(verdict, CHANGED).best) == {"rag/base", "rag/lora"}
    assert set(of_kind(verdict, FORM).best) == {"lora", "rag/lora"}
    assert (of_kind(verdict, CHANGED).recommended, of_kind(verdict, FORM).recommended) == ("rag/base", "lora")
    assert set(verdict.overall.best) == {"rag/base", "rag/lora"}
    assert (verdict.overall.questions, verdict.overall.recommended) == (80, "rag/lora")
    assert verdict.front == ["lora", "rag/lora"]
    both = arm(verdict, "rag/lora")
    assert both.accuracy.value == pytest.approx((18 + 16 + 0 + 19) / 80)
    assert both.by_kind[CHANGED].value == 0.8
    assert both.grounding is not None
    assert list(both.by_seed) == pytest.approx([53 / 80])
    assert (both.prompt_tokens, both.fixed_seconds, both.perplexity) == (220, 630.0, (20.0, 21.0))
    assert arm(verdict, "base").by_seed == []
    assert arm(verdict, "base").perplexity is None


def test_one_arm_that_is_surely_better_than_every_other_settles_it() -> None:
    verdict = conclude(made_findings({"base": {LEARNED: "0" * 20}, "rag/base": {LEARNED: "1" * 20}}))
    assert verdict.overall.is_settled
    assert (verdict.overall.best, verdict.overall.needed) == (["rag/base"], None)
    assert verdict.kinds == []  # one kind alone is all together, and is not tested twice
    assert len(verdict.pairs) == 1
    assert arm(verdict, "rag/base").by_kind[LEARNED].value == 1.0


def test_of_a_tie_the_cheapest_is_recommended_of_those_that_were_right_as_often() -> None:
    marks = {"base": "1" * 16 + "0" * 4, "lora": "1" * 17 + "0" * 3, "rag/base": "1" * 17 + "0" * 3}
    assert (
        conclude(made_findings({name: {LEARNED: each} for name, each in marks.items()})).overall.recommended == "base"
    )
    marks["base"] = "1" * 15 + "0" * 5
    assert (
        conclude(made_findings({name: {LEARNED: each} for name, each in marks.items()})).overall.recommended == "lora"
    )


def test_where_no_arm_is_right_none_is_best() -> None:
    nobody = dict.fromkeys((LEARNED, UNANSWERABLE), "0" * 20)
    verdict = conclude(made_findings({"base": nobody, "rag/base": {**nobody, LEARNED: "1" * 20}}))
    found = of_kind(verdict, UNANSWERABLE)
    assert (list(found.best), found.recommended, found.is_settled, found.needed) == ([], None, False, None)
    assert verdict.overall.recommended == "rag/base"


def test_of_a_tie_more_questions_are_named() -> None:
    verdict = conclude(made_findings({"base": {LEARNED: "0" * 8 + "1" * 12}, "rag/base": {LEARNED: "1" * 18 + "00"}}))
    assert verdict.overall.best == ["base", "rag/base"]
    assert verdict.overall.needed is not None
    alike = conclude(made_findings({"base": {LEARNED: "10"}, "rag/base": {LEARNED: "10"}}))
    assert alike.overall.needed is None


def test_updated_arms_are_best_at_what_changed_and_not_over_all() -> None:
    recipe = made_recipe(changed={"documents": "new/", "train": "new.jsonl"})
    updated = {LEARNED: "1" * 14 + "0" * 6, CHANGED: "1" * 20}
    without_rag = {name: marks for name, marks in ANSWERS.items() if not name.startswith("rag/")}
    verdict = conclude(made_findings({**without_rag, "lora updated": updated}, recipe=recipe, update_seconds=3.0))
    assert of_kind(verdict, CHANGED).best == ["lora updated"]
    assert "lora updated" not in (*verdict.overall.best, *verdict.front)
    assert set(arm(verdict, "lora updated").by_kind) == {LEARNED, CHANGED}
    assert verdict.freshness is not None
    assert verdict.freshness.retrain_seconds == {"lora": 60.0}


def test_the_same_findings_give_the_same_verdict_as_json() -> None:
    recipe = made_recipe(seeds=2, prices={"all": {"prompt": 1.0, "completion": 2.0}}, hour_price=2.0)
    answers: Mapping[str, Mapping[str, str | Sequence[str]]] = {
        name: marks if not name.endswith("lora") else {kind: (each, each[1:] + "0") for kind, each in marks.items()}
        for name, marks in ANSWERS.items()
    }
    first, again = (
        json.dumps(asdict(conclude(made_findings(answers, recipe=recipe, update_seconds=9.0))), allow_nan=False)
        for _ in range(2)
    )
    assert first == again
    assert len(json.loads(first)["sentences"]) == 2


def test_answers_that_nothing_measures_are_no_verdict() -> None:
    found = made_findings({"base": {LEARNED: "1"}})
    trials = [replace(each, scores={}) for each in found.evaluation.trials]
    with pytest.raises(InvalidInput, match="No answer has a score by contains"):
        conclude(replace(found, evaluation=EvaluationReport(trials)))
