"""Figures of arms: kinds count alike, and what other seeds would change is in the interval."""

import numpy as np
import pytest
from made_findings import made_findings, made_recipe

from plait.evaluation.statistics.figure import figure
from plait.jobs.compare.accuracy import Answers, Question, accuracy_score, answers_of
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.figures import figure_of
from plait.jobs.compare.findings import CHANGED, LEARNED
from plait.jobs.compare.intervals import Spread
from plait.jobs.compare.training_spread import arm_spread, pair_spread

RIGHT = accuracy_score("contains")


def answers(name: str, scores: list[list[float]], kind: str = "learned", retrieves: bool = False) -> Answers:
    """Of a tuned arm, or of base: scores by question and seed."""
    values = np.array(scores)
    trained = "" if name.endswith("base") else name.removeprefix("rag/")
    arm = Arm(name, "adapter", trained=trained, retrieves=retrieves, seeds=values.shape[1])
    return Answers(arm, [Question(f"{i}", kind, f"{i}.md") for i in range(len(values))], values, values)


def test_the_figure_of_one_kind_and_seed_is_that_of_an_evaluation() -> None:
    (base,) = answers_of(made_findings({"base": {LEARNED: "1111110?!0"}}), RIGHT)
    expected = figure([1.0] * 6 + [0.0, None, None, 0.0])
    found = figure_of(base, [base])
    assert (found.value, found.submitted, found.unsaid) == (expected.value, 10, 2)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_every_kind_has_the_same_weight_however_many_questions_it_has() -> None:
    (base,) = answers_of(made_findings({"base": {LEARNED: "1" * 30, CHANGED: "0" * 10}}), RIGHT)
    assert figure_of(base, [base]).value == 0.5


def test_kinds_about_the_same_documents_are_less_sure_than_kinds_about_others() -> None:
    half = "1" * 10 + "0" * 10
    (shared,) = answers_of(made_findings({"base": {LEARNED: half, CHANGED: half}}), RIGHT)
    apart = [Question(each.key, each.kind, each.kind + each.group) for each in shared.questions]
    others = Answers(shared.arm, apart, shared.low, shared.high)
    with_shared, without = figure_of(shared, [shared]), figure_of(others, [others])
    assert with_shared.value == without.value == 0.5
    # The kinds' means move as one: the half width is that of one kind, not of two that are independent.
    assert (0.5 - with_shared.low) / (0.5 - without.low) == pytest.approx(2**0.5)


def test_the_spread_of_trainings_is_pooled_over_those_that_answer_alike() -> None:
    first, second = answers("a", [[1, 0], [1, 1]]), answers("b", [[1, 1], [1, 0]])
    retrieving = answers("rag/a", [[1, 1], [1, 1]], retrieves=True)
    # Seeds reach 1 and 0.5: a variance of 1/8 of each, of the mean of two 1/16, with a degree of freedom each.
    assert arm_spread(first, [first, second, retrieving]) == Spread(1 / 16, 2)
    assert arm_spread(retrieving, [first, second, retrieving]) == Spread(0.0, 1)
    assert arm_spread(first, [first, retrieving]) == Spread(1 / 16, 1)


def test_two_arms_of_one_training_are_compared_within_it() -> None:
    first, grounded = answers("a", [[1, 0], [1, 1]]), answers("rag/a", [[1, 0], [0, 0]], retrieves=True)
    other, base = answers("b", [[1, 1], [1, 0]]), answers("base", [[1], [0]])
    everybody = [base, first, other, grounded]
    assert pair_spread(first, grounded, everybody).variance == 0.0  # the second seed is worse by as much in both
    assert pair_spread(first, other, everybody) == Spread(1 / 8, 2)
    assert pair_spread(base, first, everybody) == Spread(1 / 16, 2)
    assert pair_spread(base, base, everybody).variance == 0.0


def test_seeds_that_differ_widen_the_interval_and_seeds_that_agree_do_not() -> None:
    recipe = made_recipe(seeds=3)

    def width(marks: tuple[str, str, str]) -> float:
        (lora,) = answers_of(made_findings({"lora": {LEARNED: marks}}, recipe=recipe), RIGHT)
        found = figure_of(lora, [lora])
        assert found.value == pytest.approx(0.6)
        return found.high - found.low

    agree = "1" * 12 + "0" * 8
    assert width((agree, agree, agree)) == pytest.approx(
        (expected := figure([1.0] * 12 + [0.0] * 8)).high - expected.low
    )
    assert width(("1" * 17 + "000", agree, "1" * 7 + "0" * 13)) > 1.5 * width((agree, agree, agree))


def test_the_interval_covers_what_trainings_with_other_seeds_reach() -> None:
    rng = np.random.default_rng(7)
    questions, seeds, of_questions, of_seeds, runs = 60, 3, 1.5, 0.8, 80

    def chance(hard: np.ndarray, lucky: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(0.3 + of_questions * hard + of_seeds * lucky)))

    truth = chance(rng.normal(size=1_000_000), rng.normal(size=1_000_000)).mean()
    covered = covered_by_questions_alone = 0
    for _ in range(runs):
        drawn = rng.random((questions, seeds)) < chance(rng.normal(size=(questions, 1)), rng.normal(size=(1, seeds)))
        found = answers("a", drawn.astype(float).tolist())
        with_seeds = figure_of(found, [found])
        alone = Answers(Arm("a"), found.questions, *[found.low.mean(axis=1, keepdims=True)] * 2)
        without = figure_of(alone, [alone])
        covered += with_seeds.low <= truth <= with_seeds.high
        covered_by_questions_alone += without.low <= truth <= without.high
    assert covered >= 0.93 * runs
    assert covered_by_questions_alone < 0.85 * runs
