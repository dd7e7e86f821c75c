"""What every policy promises: it ranks the arms that the caller may use, each once, and says why."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from made_outcomes import ARMS, TOKENS, VECTORS, made_outcomes

from plait.routing.estimators import LogisticLearner, NeighboursLearner
from plait.routing.estimators.estimator import Learner
from plait.routing.folder import PolicyAbout, read_policy, write_policy
from plait.routing.policies.fixed import FixedConfig
from plait.routing.policies.learned import LearnedConfig, VectorsConfig
from plait.routing.policies.rules import Rule, RulesConfig
from plait.routing.policy import Arrays, PolicyConfig, RouteRequest

Made = tuple[PolicyConfig, Arrays]
QUESTIONS = ["Reply as JSON", "How long is the warranty?", "", "?", "word " * 5000, "\x00 \U0001f600"]


def _learned(learner: Learner) -> Made:
    estimator = learner.learn(made_outcomes(has_vectors=True), seed=0)
    config = LearnedConfig(
        arms=tuple(arm.model_copy(update={"tokens": tokens}) for arm, tokens in zip(ARMS, TOKENS, strict=True)),
        points=2.0,
        estimator=estimator.name,  # type: ignore[arg-type]
        words=tuple(estimator.words),
        vectors=VectorsConfig(model=VECTORS.model, dimension=VECTORS.dimension),
    )
    return config, estimator.arrays


POLICIES: dict[str, Callable[[], Made]] = {
    "fixed": lambda: (FixedConfig(arm=ARMS[0]), {}),
    "rules": lambda: (RulesConfig(default="base", rules=(Rule(arm="rag/base", prefix="How"),)), {}),
    "neighbours": lambda: _learned(NeighboursLearner(5)),
    "logistic": lambda: _learned(LogisticLearner(1.0)),
}


@pytest.fixture(scope="module", params=POLICIES)
def made(request: pytest.FixtureRequest) -> Made:
    return POLICIES[request.param]()


def requests(usable: frozenset[str] | None = None) -> list[RouteRequest]:
    vector = np.array([1, 0, 0, 0], np.float32)
    return [RouteRequest(question, vector, usable=usable) for question in QUESTIONS]


def test_arms_are_ranked_once_each_with_a_reason(made: Made) -> None:
    policy = made[0].open(made[1])
    for request in requests():
        ranked = policy.rank(request)
        names = [each.arm.model for each in ranked]
        assert names
        assert len(set(names)) == len(names)
        assert set(names) <= {arm.model for arm in policy.arms}
        assert all(each.reason for each in ranked)
        assert all(each.probability is None or 0 <= each.probability <= 1 for each in ranked)


def test_only_what_the_caller_may_use_is_ranked(made: Made) -> None:
    policy = made[0].open(made[1])
    for arm in policy.arms:
        for request in requests(frozenset({arm.model})):
            assert [each.arm.model for each in policy.rank(request)] in ([arm.model], [])
    assert all(policy.rank(request) == [] for request in requests(frozenset()))


def test_what_is_kept_ranks_alike(made: Made, tmp_path: Path) -> None:
    about = PolicyAbout(
        comparison="", comparison_sha256="", learner="", seed=0, worth=None, reason="", plait_version="", created_at=""
    )
    write_policy(tmp_path, *made, about)
    kept, policy = read_policy(tmp_path).policy, made[0].open(made[1])
    assert kept.vectors == policy.vectors
    for request in requests():
        assert kept.rank(request) == policy.rank(request)


def test_threads_may_ask_at_once(made: Made) -> None:
    policy = made[0].open(made[1])
    alone = [policy.rank(request) for request in requests()]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(policy.rank, requests() * 5))
    assert together == alone * 5
