"""Fine-tune, retrieve, or both: a verdict says what the questions show, and no more."""

import json
from pathlib import Path

import pytest

from plait.errors import RecipeError
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score
from plait.evaluation.statistics.binary import paired_difference
from plait.evaluation.statistics.comparisons import holm
from plait.flows.compare.page import write_pages
from plait.flows.compare.verdict import verdict_of
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.recipes import CompareRecipe, load_recipe


def report(tokens: dict[str, int | None], right: dict[str, list[bool]], reply: str = "r") -> EvaluationReport:
    return EvaluationReport(
        [
            JudgedTrial(
                Trial(
                    key=f"{arm}{number}",
                    question_key=str(number),
                    arm=arm,
                    number=number,
                    conversation=(),
                    sample=Sample(f"q{number}", reply, answers=("a",)),
                    timings_ms={"total": 10.0},
                    prompt_tokens=tokens[arm],
                    completion_tokens=1,
                ),
                {"contains": Score(float(is_right))},
            )
            for arm, marks in right.items()
            for number, is_right in enumerate(marks)
        ]
    )


def test_a_clear_winner_is_called_best() -> None:
    found = verdict_of(report({"base": 10, "rag/base": 90}, {"base": [False] * 20, "rag/base": [True] * 20}), 0.05)
    assert found.best == ["rag/base"]
    assert found.sentence == "rag/base is best: 100% right, surely more than every other."
    assert found.arm("rag/base").tokens == 91


def test_arms_that_cannot_be_told_apart_are_a_tie_and_the_cheapest_is_recommended() -> None:
    right = {
        "base": [False] * 20,
        "support": [True] * 17 + [False] * 3,
        "rag/base": [True] * 18 + [False] * 2,
        "rag/support": [False] * 1 + [True] * 19,
    }
    found = verdict_of(report({"base": 9, "support": 10, "rag/base": 90, "rag/support": 90}, right), 0.05)
    assert found.best == ["support", "rag/base", "rag/support"]
    assert found.recommended == "support"
    assert found.sentence.startswith("A tie: 20 questions cannot tell which of support, rag/base, rag/support is best.")
    assert "fewest tokens" in found.sentence


def test_without_token_counts_time_decides_and_the_page_says_so(tmp_path: Path) -> None:
    made = report({"base": None, "x": None}, {"base": [True] * 3, "x": [True] * 3})
    found = verdict_of(made, 0.05)
    assert "the least time" in found.sentence
    page = write_pages(tmp_path / "out", found, made)
    assert "the server does not say" in page.read_text()


def test_the_pages_hold_everything_and_run_nothing(tmp_path: Path) -> None:
    made = report({"base": 1, "x": 1}, {"base": [True], "x": [False]}, reply="<script>alert(1)</script>")
    page = write_pages(tmp_path / "out", verdict_of(made, 0.05), made)
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "://" not in text  # nothing is loaded from elsewhere
    assert "default-src 'none'" in text
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert written["verdict"]["best"] == ["base", "x"]
    (of_x,) = [trial for trial in written["evaluation"]["trials"] if trial["arm"] == "x"]
    assert of_x["scores"]["contains"]["value"] == 0


def test_the_difference_of_paired_shares_and_its_interval() -> None:
    found = paired_difference([True] * 8 + [False] * 2, [True] * 4 + [False] * 6)
    assert found.value == pytest.approx(0.4)
    assert (found.low, found.high) == pytest.approx((1 / 3 - 0.3138, 1 / 3 + 0.3138), abs=2e-3)
    same = paired_difference([True, False], [True, False])
    assert (same.value, same.low, same.high) == pytest.approx((0, -same.high, same.high))


def test_holm_corrects_for_several_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_a_compare_recipe_is_made_of_the_others() -> None:
    fields = ["data=e.jsonl", "ingest.sources=[docs]", "train.name=support", "train.data.train=t.jsonl"]
    recipe = load_recipe(CompareRecipe, None, fields)
    assert recipe.arms == ["base", "support", "rag/base", "rag/support"]
    with pytest.raises(RecipeError, match=r"adapter.method=full makes a model, not an adapter"):
        load_recipe(CompareRecipe, None, [*fields, "train.adapter.method=full", "train.model.dtype=float32"])
