"""What an answer takes is kept with it, and stands wherever figures do."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from plait.errors import InvalidInput
from plait.evaluation.runs.run import begun, opened
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample
from plait.evaluation.score import JudgeUse, Score
from plait.jobs.evaluate.costs import as_money, check_prices, costs_of, with_costs
from plait.jobs.evaluate.job import judge_samples
from plait.jobs.evaluate.page.page import render
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.jobs.evaluate.tables import costs_table, notes
from plait.jobs.evaluate.tracked import _metrics
from plait.recipes import SamplesRecipe, TokenPrice

PRICES = {"rag/base": TokenPrice(prompt=1, completion=2), "all": TokenPrice(prompt=10, completion=20)}


def trial(arm: str, number: int, prompt_tokens: int | None = 100) -> Trial:
    return Trial(
        key=f"{arm}{number}",
        question_key=str(number),
        arm=arm,
        number=number,
        conversation=(),
        sample=Sample("q", "r"),
        timings_ms={"total": 10.0 * (number + 1)},
        prompt_tokens=prompt_tokens,
        completion_tokens=None if prompt_tokens is None else 50,
    )


def printed(report: EvaluationReport) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(costs_table(report))
    return console.export_text()


def report_of(trials: list[Trial]) -> EvaluationReport:
    score = Score(1.0, use=JudgeUse(1, 1000, 100))
    judged = [JudgedTrial(each, {"faithfulness": score}) for each in trials]
    judge_price = TokenPrice(prompt=5, completion=50)
    return EvaluationReport(judged, ("faithfulness",), "m", prices=PRICES, judge_price=judge_price)


def test_trials_are_kept_with_their_cost_also_those_that_were_asked_before_there_were_prices(tmp_path: Path) -> None:
    trials = [trial("base", 0), trial("rag/base", 0), trial("base", 1, prompt_tokens=None)]
    with begun({}, "x", tmp_path) as run:
        for each in trials:
            run.add_trial(each)
        priced = with_costs(run, trials, PRICES)
    assert [each.cost for each in priced] == [pytest.approx(0.002), pytest.approx(0.0002), None]
    assert list(opened(tmp_path).trials().values()) == priced


def test_a_price_of_nobody_is_named() -> None:
    check_prices(PRICES, ["rag/base", "base"])
    with pytest.raises(InvalidInput, match=r"price of 'rag/bose', and no such arm\. Did you mean 'rag/base'"):
        check_prices({"rag/bose": PRICES["all"]}, ["rag/base"])


def test_what_an_answer_takes_is_over_those_that_were_answered() -> None:
    failed = replace(trial("base", 1), timings_ms={}, prompt_tokens=None, completion_tokens=None, error="Too long.")
    found = costs_of("base", [trial("base", 0), failed, replace(trial("base", 2), cost=0.25)])
    assert (found.latency_ms, found.prompt_tokens, found.cost_of_1000, found.errors) == (20.0, 100.0, 250.0, 1)


def test_costs_stand_in_tables_page_json_and_mlflow() -> None:
    trials = [replace(trial(arm, number), cost=0.0137) for arm in ("base", "rag/base") for number in range(3)]
    report = report_of(trials)
    assert "cost of 1,000" in printed(report)
    assert "13.70" in printed(report)
    assert notes(report)[0] == "judging took 6 calls, 6000 tokens read, 600 written, and cost 0.06"
    page = render(report)
    assert "cost of 1,000 answers" in page
    assert '<td class="number">13.70</td>' in page
    written = json.loads(json.dumps(report.as_json()))
    assert written["costs"][0]["cost"] == pytest.approx(0.0137)
    assert written["judge_use"]["cost"] == pytest.approx(0.06)
    assert (written["trials"][0]["cost"], written["trials"][0]["judge_use"]["prompt_tokens"]) == (0.0137, 1000)
    logged = _metrics(report)
    assert logged["cost/rag/base"] == pytest.approx(0.0137)
    assert (logged["latency_ms/base"], logged["judge_calls"], logged["errors/base"]) == (20.0, 6.0, 0.0)


def test_without_prices_nobody_reads_of_money() -> None:
    report = replace(report_of([trial("base", 0)]), prices={}, judge_price=None)
    assert "cost of" not in printed(report) + render(report)
    assert "cost" not in notes(report)[0]
    assert "judge_cost" not in _metrics(report)


def test_samples_from_elsewhere_may_say_what_they_took(tmp_path: Path) -> None:
    row = {"question": "q", "reply": "r", "answers": ["r"], "latency_ms": 12, "prompt_tokens": 7}
    file = tmp_path / "samples.jsonl"
    file.write_text(json.dumps(row | {"completion_tokens": 3}), encoding="utf-8")
    recipe = SamplesRecipe(samples=str(file), metrics=["contains"], prices={"samples": PRICES["all"]})
    (costs,) = judge_samples(recipe, tmp_path / "run").costs
    assert (costs.latency_ms, costs.prompt_tokens, costs.cost) == (12.0, 7.0, pytest.approx(0.00013))
    (kept,) = opened(tmp_path / "run").trials().values()
    assert kept.cost == costs.cost


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0"), (0.00001234, "0.0000123"), (0.0137, "0.0137"), (1, "1.00"), (1250, "1,250.00")]
)
def test_amounts_keep_what_can_be_read(amount: float, text: str) -> None:
    assert as_money(amount) == text
