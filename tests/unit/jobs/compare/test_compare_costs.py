"""What arms cost, by numbers that can be worked out by hand."""

import pytest
from made_findings import made_findings, made_recipe

from plait.evaluation.statistics.figure import Figure
from plait.jobs.compare.costs import break_even_of, cheapest, fixed, freshness_of, front_of
from plait.jobs.compare.findings import CHANGED, LEARNED
from plait.jobs.compare.verdict import ArmVerdict, BreakEven

CHANGED_RECIPE = made_recipe(seeds=2, hour_price=3.6, changed={"documents": "new/", "train": "new.jsonl"})


def arm(
    name: str,
    accuracy: float,
    tokens: float | None = 30.0,
    cost: float | None = None,
    seconds: float | None = 0.0,
    fixed_cost: float | None = None,
    latency_ms: float | None = 100.0,
) -> ArmVerdict:
    return ArmVerdict(
        arm=name,
        accuracy=Figure(accuracy, 0.0, 1.0, 10, 0),
        by_kind={},
        grounding=None,
        by_seed=[],
        latency_ms=latency_ms,
        prompt_tokens=tokens,
        completion_tokens=None if tokens is None else 0.0,
        cost_of_1000=cost,
        fixed_seconds=seconds,
        fixed_cost=fixed_cost,
        perplexity=None,
    )


def test_before_the_first_answer_stand_trainings_and_indexing_at_the_price_of_an_hour() -> None:
    marks = {LEARNED: ("1", "1"), CHANGED: ("1", "1")}
    names = ("lora", "lora updated", "rag/lora", "rag/lora updated")
    found = made_findings(
        {"base": {LEARNED: "1"}, "rag/base": {LEARNED: "1"}, **dict.fromkeys(names, marks)}, recipe=CHANGED_RECIPE
    )
    # Seeds take 600 and 601 s, further training 60 and 61 s, indexing 30 s; an hour costs 3.6, a second 0.001.
    expected = {
        "base": 0.0,
        "rag/base": 30.0,
        "lora": 600.5,
        "lora updated": 661.0,
        "rag/lora": 630.5,
        "rag/lora updated": 691.0,
    }
    for each in found.arms:
        before = fixed(found, each)
        assert before.seconds == expected[each.name]
        assert before.cost == pytest.approx(expected[each.name] / 1000)


def test_what_was_not_measured_has_no_cost() -> None:
    found = made_findings({"base": {LEARNED: "1"}, "rag/base": {LEARNED: "1"}}, index_seconds=None)
    assert [fixed(found, each).seconds for each in found.arms] == [0.0, None]
    assert [fixed(found, each).cost for each in found.arms] == [None, None]


def test_the_front_has_what_no_other_arm_beats_the_cheapest_first() -> None:
    arms = [arm("rag/lora", 0.9, 230), arm("rag/base", 0.8, 230), arm("lora", 0.5, 30), arm("base", 0.5, 40)]
    assert [each.arm for each in front_of(arms)] == ["lora", "rag/lora"]
    equal = [arm("one", 0.5), arm("other", 0.5)]
    assert [each.arm for each in front_of(equal)] == ["one", "other"]


def test_money_decides_where_all_have_a_price_and_tokens_else() -> None:
    priced = [arm("large", 0.9, tokens=50, cost=5.0), arm("small", 0.5, tokens=200, cost=0.1)]
    assert [each.arm for each in front_of(priced)] == ["small", "large"]
    assert cheapest(priced).arm == "small"
    unpriced = [*priced, arm("free", 0.1, tokens=500)]
    assert [each.arm for each in front_of(unpriced)] == ["large"]
    assert cheapest(unpriced).arm == "large"
    by_time = [arm("slow", 0.5, tokens=None), arm("fast", 0.5, latency_ms=10.0)]
    assert cheapest(by_time).arm == "fast"


def test_of_arms_that_cost_about_the_same_the_first_is_the_cheapest_whatever_a_clock_says() -> None:
    assert cheapest([arm("base", 0.5, 30), arm("lora", 0.5, 29, seconds=600)]).arm == "base"
    assert cheapest([arm("base", 0.5, 30), arm("lora", 0.5, 20, seconds=600)]).arm == "lora"


def test_an_arm_that_costs_more_before_pays_from_so_many_answers_on() -> None:
    trained = arm("lora", 0.7, cost=0.05, fixed_cost=2.0)
    grounded = arm("rag/base", 0.8, cost=0.25, fixed_cost=0.5)
    # 1.5 more before, 0.0002 less with each answer.
    assert break_even_of([trained, grounded]) == [BreakEven("lora", "rag/base", 7500)]
    assert break_even_of([trained, arm("rag/base", 0.8, cost=0.25)]) == []
    assert break_even_of([trained, arm("base", 0.1, cost=0.04, fixed_cost=0.0)]) == []


def test_a_changed_fact_takes_as_long_as_indexing_or_training_again() -> None:
    marks = ("1", "1")
    answers = {"lora": {LEARNED: marks}, "lora updated": {LEARNED: marks}}
    found = freshness_of(made_findings(answers, recipe=CHANGED_RECIPE, update_seconds=12.0))
    assert found is not None
    assert (found.documents, found.reindex_seconds, found.retrain_seconds) == (4, 12.0, {"lora": 60.5})
    assert freshness_of(made_findings(answers, recipe=CHANGED_RECIPE)) is None
