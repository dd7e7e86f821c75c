"""A policy is learned where questions tell which arm is right, and is one arm where they do not."""

from dataclasses import replace

import numpy as np
import pytest
from made_outcomes import VECTORS, by_nothing, made_outcomes

from plait.routing.outcomes import Outcomes
from plait.routing.policies.fixed import FixedConfig
from plait.routing.policies.learned import LearnedConfig
from plait.routing.policy import RouteRequest
from plait.routing.trained import TrainedPolicy, train


@pytest.fixture(scope="module")
def learned() -> TrainedPolicy:
    return train(made_outcomes(has_vectors=True), 2.0, VECTORS, seed=0)


def test_a_policy_that_wins_is_used(learned: TrainedPolicy) -> None:
    worth = learned.worth
    assert worth is not None
    assert worth.is_enabled
    assert (worth.questions, worth.groups) == (80, 80)
    assert worth.accuracy > 0.85 > 0.55 > worth.best_arm.accuracy
    others = {way.name: way for way in worth.others}
    assert others["random mix of the same cost"].accuracy < worth.accuracy <= worth.oracle.accuracy
    assert others["best arm by kind"].accuracy >= worth.accuracy
    assert isinstance(learned.config, LearnedConfig)
    assert learned.learner
    request = RouteRequest("Reply to ticket 99 as JSON", np.array([1, 0, 0, 0], np.float32))
    assert learned.config.open(learned.arrays).rank(request)[0].arm.name == "lora"


def test_the_same_outcomes_and_seed_give_the_same_policy(learned: TrainedPolicy) -> None:
    again = train(made_outcomes(has_vectors=True), 2.0, VECTORS, seed=0)
    assert again.config == learned.config
    assert again.worth == learned.worth
    assert again.arrays.keys() == learned.arrays.keys()
    for name, array in again.arrays.items():
        np.testing.assert_array_equal(array, learned.arrays[name])


def test_words_alone_are_enough_where_they_tell() -> None:
    found = train(made_outcomes(), 2.0, None, seed=0)
    assert isinstance(found.config, LearnedConfig)
    assert found.config.vectors is None
    assert found.learner.startswith("logistic regression")
    assert found.config.open(found.arrays).rank(RouteRequest("How long is warranty 99?"))[0].arm.name == "rag/base"


def test_where_nothing_tells_the_best_arm_answers_everything() -> None:
    outcomes = made_outcomes(by_nothing, has_vectors=True)
    found = train(outcomes, 2.0, VECTORS, seed=0)
    assert isinstance(found.config, FixedConfig)
    assert found.worth is not None
    assert not found.worth.is_enabled
    assert f"So {found.config.arm.name} answers every question." in found.reason
    best = outcomes.quality.mean(axis=0).max()
    assert found.config.arm.accuracy == best
    assert not found.arrays


def test_too_few_documents_are_said() -> None:
    found = train(made_outcomes(count=57, questions_of_a_document=3), 2.0, None, seed=0)
    assert isinstance(found.config, FixedConfig)
    assert found.worth is None
    assert found.reason.startswith("19 documents are too few to learn from, it takes 20. So ")


def test_one_arm_alone_is_the_policy() -> None:
    both = made_outcomes()
    one = Outcomes(both.arms[:1], both.questions, both.quality[:, :1], both.tokens[:, :1], both.kinds, both.groups)
    found = train(one, 0.0, None, seed=0)
    assert isinstance(found.config, FixedConfig)
    assert found.reason == "lora is the only arm that can be routed to."


def test_the_policy_is_judged_on_documents_that_it_has_not_seen() -> None:
    """Each document has a word of its own, which tells the right arm within it and nothing beyond."""
    made = made_outcomes(lambda number, topic: by_nothing(number // 4, topic), 120, questions_of_a_document=4)
    outcomes = replace(made, questions=[f"word{number // 4} zebra" for number in range(120)])
    found = train(outcomes, 0.0, None, seed=0)
    assert found.worth is not None
    assert found.worth.accuracy < 0.75, "each word was known"
    assert not found.worth.is_enabled
