"""A learned policy chooses by what is probably right and what it costs, within a few milliseconds."""

import time
from dataclasses import replace

import numpy as np
import pytest
from made_outcomes import ARMS, TOKENS, VECTORS, made_outcomes

from plait.errors import InvalidInput
from plait.routing.estimators import LogisticLearner, NeighboursLearner
from plait.routing.estimators.estimator import Learner
from plait.routing.policies.learned import LearnedConfig, LearnedPolicy, VectorsConfig
from plait.routing.policy import RouteRequest

FORM, FACT = np.array([1, 0, 0, 0], np.float32), np.array([0, 1, 0, 0], np.float32)
WITH_TOKENS = tuple(arm.model_copy(update={"tokens": tokens}) for arm, tokens in zip(ARMS, TOKENS, strict=True))


def learned(learner: Learner, points: float = 0.0, has_vectors: bool = True) -> LearnedPolicy:
    estimator = learner.learn(made_outcomes(has_vectors=has_vectors), seed=0)
    config = LearnedConfig(
        arms=WITH_TOKENS,
        points=points,
        estimator=estimator.name,  # type: ignore[arg-type]
        words=tuple(estimator.words),
        vectors=VectorsConfig(model=VECTORS.model, dimension=4) if has_vectors else None,
    )
    return config.open(estimator.arrays)


@pytest.mark.parametrize("learner", [NeighboursLearner(5), LogisticLearner(10.0)])
def test_each_question_goes_to_the_arm_that_was_right_on_its_like(learner: Learner) -> None:
    policy = learned(learner)
    form = policy.rank(RouteRequest("Reply to this as JSON", FORM))
    fact = policy.rank(RouteRequest("How long is the warranty?", FACT))
    assert ([form[0].arm.name, fact[0].arm.name]) == ["lora", "rag/base"]
    for ranked in (form, fact):
        assert (ranked[0].probability or 0) > 0.7 > 0.3 > (ranked[1].probability or 0)


def test_the_reason_says_which_words_speak_for_an_arm() -> None:
    ranked = learned(LogisticLearner(10.0), has_vectors=False).rank(RouteRequest("Reply to ticket 7 as JSON, please"))
    assert ranked[0].reason.startswith(f"{ranked[0].probability:.0%} right: its words '")
    assert "json" in ranked[0].reason


def test_the_reason_of_neighbours_counts_them() -> None:
    ranked = learned(NeighboursLearner(5)).rank(RouteRequest("Reply", FORM))
    assert "of the 5 nearest questions" in ranked[0].reason


def test_dear_tokens_make_the_cheap_arm_win() -> None:
    assert learned(NeighboursLearner(5), points=1000).rank(RouteRequest("?", FACT))[0].arm.name == "lora"


def test_an_arm_that_the_caller_may_not_use_is_not_ranked() -> None:
    request = RouteRequest("How long is the warranty?", FACT, usable=frozenset({"support:1"}))
    assert [each.arm.model for each in learned(NeighboursLearner(5)).rank(request)] == ["support:1"]


@pytest.mark.parametrize("embedding", [None, np.zeros(3, np.float32)])
def test_a_question_without_the_embedding_is_said(
    embedding: "np.ndarray[tuple[int], np.dtype[np.float32]] | None",
) -> None:
    with pytest.raises(InvalidInput, match=r"needs the question's embedding by 'made' \(4 dimensions\)"):
        learned(NeighboursLearner(5)).rank(RouteRequest("?", embedding))


@pytest.mark.parametrize("learner", [NeighboursLearner(20), LogisticLearner(1.0)])
def test_choosing_takes_less_than_three_milliseconds(learner: Learner) -> None:
    """Of CPU, the fastest of several: 2,000 questions with 384 dimensions, and as many words as are kept."""
    rng = np.random.default_rng(0)
    few = made_outcomes(has_vectors=True)
    vectors = rng.normal(size=(2000, 384)).astype(np.float32)
    many = replace(few.rows(np.resize(np.arange(len(few)), 2000)), vectors=vectors)
    learns = many if isinstance(learner, NeighboursLearner) else many.rows(np.arange(60))
    estimator = learner.learn(learns, seed=0)
    policy = LearnedConfig(
        arms=WITH_TOKENS,
        points=2.0,
        estimator=estimator.name,  # type: ignore[arg-type]
        words=tuple(estimator.words),
        vectors=VectorsConfig(model="made", dimension=384),
    ).open(estimator.arrays)
    request = RouteRequest("How long is the warranty of a machine that was repaired twice? " * 4, vectors[0])
    taken = []
    for _ in range(20):
        start = time.thread_time()
        policy.rank(request)
        taken.append(time.thread_time() - start)
    assert min(taken) < 0.003
