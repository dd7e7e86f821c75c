"""The gate: no worse than the champion is met, worse or too few questions is not, and each check says why."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plait.errors import InvalidInput
from plait.evaluation.gate import GateNotMet
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.jobs.promote import gate as gate_module
from plait.jobs.promote.gate import GateReport, gate_report
from plait.recipes import EvaluateRecipe, GateConfig

QUESTIONS = 200
Right = Callable[[str, int], bool]


def adapter(version: int, **metrics: float) -> Any:
    return SimpleNamespace(key=f"support:{version}", metadata=SimpleNamespace(metrics=metrics))


def trial(arm: str, number: int, is_right: bool, total_ms: float, **sample: Any) -> JudgedTrial:
    said = Sample(question=f"question {number}", reply="the fact" if is_right else "the password is 1234", **sample)
    asked = Trial(f"{arm} {number}", str(number), arm, number, (), said, timings_ms={"total": total_ms})
    return JudgedTrial(asked, {"contains": Score(float(is_right)), "faithfulness": Score(float(is_right))})


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., GateReport]:
    """A gate in front of a server that answers as `is_right` says, an arm in so many milliseconds."""

    def judge(is_right: Right, slow: float = 1.0, candidate: Any = None, **config: Any) -> GateReport:
        def evaluate(recipe: EvaluateRecipe, base_url: str) -> EvaluationReport:
            trials = [
                trial(arm, number, is_right(arm, number), 10 * (slow if "support:4" in arm else 1))
                for arm in recipe.models
                for number in range(QUESTIONS)
            ]
            return EvaluationReport(trials, metrics=recipe.metrics or ("contains",), folder=Path("/kept"))

        monkeypatch.setattr(gate_module, "evaluate", evaluate)
        fields = {"evaluate": {"data": "eval.jsonl"}, "max_forgetting": None} | config
        return gate_report(GateConfig.model_validate(fields), candidate or adapter(4), adapter(3), "http://server")

    return judge


def unmet(report: GateReport) -> list[str]:
    return [check.name for check in report.checks if not check.is_met]


def test_a_candidate_that_is_no_worse_meets_the_gate(judged: Callable[..., GateReport]) -> None:
    report = judged(lambda arm, number: number % 10 > 0)
    report.check()
    assert (report.champion, [check.name for check in report.checks]) == ("support:3", ["contains", "latency"])
    assert report.folders == ("/kept",)


def test_one_that_is_worse_or_not_surely_no_worse_does_not(judged: Callable[..., GateReport]) -> None:
    worse = judged(lambda arm, number: number % 10 > (3 if arm == "support:4" else 0))
    with pytest.raises(
        GateNotMet, match=r"contains of support:4 is 0\.600, of support:3 0\.900: a difference of -0\.3"
    ):
        worse.check()
    # Better by one question, and worse by another: it may be five in a hundred worse.
    unsure = judged(lambda arm, number: (number % 40 != 1) if arm == "support:4" else (number % 40 != 2))
    assert unmet(unsure) == ["contains"]
    assert "more questions may settle" in unsure.checks[0].what


def test_slower_forgetful_ungrounded_and_unsafe_candidates_are_told_apart(judged: Callable[..., GateReport]) -> None:
    def right(arm: str, number: int) -> bool:
        return number > 0

    assert unmet(judged(right, slow=2.0)) == ["latency"]
    assert unmet(judged(right, slow=2.0, max_latency_ratio=None)) == []
    forgetful = adapter(4, general_perplexity_before=20.0, general_perplexity=40.0)
    assert unmet(judged(right, candidate=forgetful, max_forgetting=1.5)) == ["forgetting"]
    assert unmet(judged(right, candidate=forgetful, max_forgetting=2.0)) == []
    unmeasured = judged(right, max_forgetting=1.5)
    assert "was not measured" in unmeasured.checks[0].what
    assert unmeasured.folders == ()  # nobody was asked
    safety = {"data": "safety.jsonl", "forbidden": ["(?i)PASSWORD is [0-9]+"]}
    unsafe = judged(right, safety=safety)
    assert unmet(unsafe) == ["safety"]
    assert "1 of 200 replies to the safety set break a rule, as the one to 'question 0'" in unsafe.checks[-1].what
    assert unmet(judged(right, safety=safety | {"max_failures": 1})) == []
    grounded = {"data": "eval.jsonl", "retrieval": True, "grounding_margin": 0.05}
    found = judged(lambda arm, number: "rag/" in arm, evaluate=grounded)
    assert [check.name for check in found.checks] == ["contains", "faithfulness", "latency"]


def test_a_bad_pattern_is_refused_before_anybody_is_asked(judged: Callable[..., GateReport]) -> None:
    with pytest.raises(InvalidInput, match=r"gate.safety.forbidden.*is no regular expression"):
        judged(lambda arm, number: True, safety={"data": "safety.jsonl", "forbidden": ["("]})


def test_a_reply_must_match_the_pattern_of_its_row() -> None:
    judged = trial("support:4", 0, True, 1.0, pattern="I cannot .*")
    assert gate_module._breaks(judged, [])
    refuses = replace(judged, trial=replace(judged.trial, sample=replace(judged.trial.sample, reply="I cannot say.")))
    assert not gate_module._breaks(refuses, [])
