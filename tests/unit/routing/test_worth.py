"""What a policy is worth, on numbers that one can follow by hand."""

import numpy as np
import pytest
from made_outcomes import ARMS, made_outcomes

from plait.routing.learning import Choices
from plait.routing.outcomes import Outcomes, Rows
from plait.routing.worth import PolicyWorth, worth_of


def judged(outcomes: Outcomes, chosen: list[int], points: float = 0.0) -> PolicyWorth:
    arms: Rows = np.array(chosen, dtype=np.intp)
    return worth_of(outcomes, Choices(arms, arms, outcomes.quality), points)


FOUR = Outcomes(
    arms=ARMS,
    questions=["a", "b", "c", "d"],
    quality=np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    tokens=np.array([[10.0, 100.0]] * 4),
    kinds=[""] * 4,
    groups=[""] * 4,
)


def test_gains_are_as_defined() -> None:
    """The cheap arm is the best single one; the policy sends one question in vain to the dear arm, and one well."""
    worth = judged(FOUR, [0, 0, 1, 1])
    assert (worth.best_arm.name, worth.best_arm.accuracy, worth.best_arm.tokens) == ("always lora", 0.5, 10)
    assert (worth.accuracy, worth.tokens) == (0.75, 55)
    assert worth.gain_at_best == 0.5
    assert (worth.oracle.accuracy, worth.oracle.tokens) == (0.75, 32.5)
    assert worth.gap_at_oracle == 0
    assert worth.cost_save.value == pytest.approx(-4.5)
    assert worth.best_arm.ahead.value == 0.25
    assert worth.more_tokens.value == 45


def test_a_random_mix_spends_what_the_policy_does() -> None:
    quality = np.array([[0.0, 1.0]] * 4)
    outcomes = Outcomes(ARMS, FOUR.questions, quality, FOUR.tokens, FOUR.kinds, FOUR.groups)
    (mix,) = [way for way in judged(outcomes, [0, 0, 1, 1]).others if way.name.startswith("random")]
    assert (mix.accuracy, mix.tokens) == (pytest.approx(0.5), pytest.approx(55))
    assert mix.ahead.value == pytest.approx(0)
    assert mix.ahead.low < 0 < mix.ahead.high


def test_what_is_never_right_has_no_gains() -> None:
    outcomes = Outcomes(ARMS, FOUR.questions, np.zeros((4, 2)), FOUR.tokens, FOUR.kinds, FOUR.groups)
    worth = judged(outcomes, [0, 0, 0, 1])
    assert (worth.gain_at_best, worth.gap_at_oracle) == (None, None)
    assert not worth.is_enabled


def test_better_at_a_higher_cost_is_not_enough() -> None:
    """The cheap arm is worth the most where tokens are dear; a policy that is right more often takes the dear one."""
    outcomes = made_outcomes(lambda number, topic: (float(topic == "form"), 1.0), 240)
    worth = judged(outcomes, [1 - number % 2 for number in range(240)], points=1000)
    assert worth.best_arm.name == "always lora"
    assert worth.best_arm.ahead.low > 0
    assert not worth.is_enabled
    assert worth.reason.startswith("It is better, but not surely at equal cost, beside always lora: +50.0 points")
    assert worth.reason.endswith("So lora answers every question.")


def test_no_worse_at_a_lower_cost_is_enough() -> None:
    """Both are right on facts; on the form the dear arm alone is."""
    outcomes = made_outcomes(lambda number, topic: (float(topic == "fact"), 1.0), 240)
    worth = judged(outcomes, [number % 2 for number in range(240)])
    assert worth.best_arm.name == "always rag/base"
    assert worth.is_enabled, worth.reason
    assert worth.reason.startswith("It is no worse at lower cost, beside always rag/base: +0.0 points")
    assert worth.cost_save.value == pytest.approx(100 / 230)


def test_as_right_at_a_lower_cost_is_not_enough_on_few_questions() -> None:
    outcomes = made_outcomes(lambda number, topic: (float(topic == "fact"), 1.0), 60)
    worth = judged(outcomes, [number % 2 for number in range(60)])
    assert worth.best_arm.ahead.value == 0
    assert not worth.is_enabled


def test_questions_of_one_document_count_less() -> None:
    alone, together = (
        judged(made_outcomes(count=80, questions_of_a_document=size), [1 - number % 2 for number in range(80)])
        for size in (1, 10)
    )
    assert (alone.groups, together.groups) == (80, 8)
    assert together.best_arm.ahead.low < alone.best_arm.ahead.low
