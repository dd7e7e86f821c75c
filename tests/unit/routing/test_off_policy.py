"""The worth of a policy that was not asked is estimated right from answers whose arm was left to chance."""

from dataclasses import replace

import numpy as np
import pytest

from plait.errors import DataError
from plait.routing.off_policy import LoggedAnswer, OffPolicyEstimate, estimate
from plait.routing.policies.rules import RulesConfig
from plait.routing.policy import Policy, RouteRequest

ARMS = ("base", "rag/base")
_QUALITY = {("easy", "base"): 0.95, ("easy", "rag/base"): 0.8, ("hard", "base"): 0.1, ("hard", "rag/base"): 0.4}
TRUTH = 0.5 * _QUALITY["easy", "rag/base"] + 0.5 * _QUALITY["hard", "rag/base"]
"""What always rag/base is worth, where half of the questions are hard."""


def rules(text_of_hard: str, default: str = "base") -> Policy:
    rule = [{"prefix": "hard", "arm": text_of_hard}]
    return RulesConfig.model_validate({"default": default, "rules": rule}).open({})


ALWAYS_RAG = rules("rag/base", "rag/base")


def logged(count: int, seed: int, explore: float = 0.3) -> list[LoggedAnswer]:
    """Answers by a policy that sends hard questions to rag/base and others to base, and draws a share."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        kind = "hard" if random.random() < 0.5 else "easy"
        best = "rag/base" if kind == "hard" else "base"
        arm = str(random.choice(ARMS)) if random.random() < explore else best
        propensity = explore / 2 + (1 - explore) * (arm == best)
        right = float(random.random() < _QUALITY[kind, arm])
        tokens = 20.0 if arm == "base" else 230.0
        made.append(LoggedAnswer(RouteRequest(f"{kind} {number}"), arm, propensity, ARMS, right, tokens))
    return made


def estimated(answers: list[LoggedAnswer], policy: Policy = ALWAYS_RAG) -> OffPolicyEstimate:
    return estimate(answers, policy, None)


def test_both_estimates_hold_the_truth_and_a_naive_mean_does_not() -> None:
    answers = logged(2000, seed=1)
    found = estimated(answers)
    assert found.weighted.low < TRUTH < found.weighted.high
    assert found.doubly_robust.low < TRUTH < found.doubly_robust.high
    naive = np.array([each.quality for each in answers if each.arm == "rag/base"])
    half = 1.96 * naive.std() / np.sqrt(len(naive))
    assert not naive.mean() - half < TRUTH < naive.mean() + half
    assert found.ahead.high < 0  # worth less than what was given, which fits both kinds
    assert found.matched == len(naive)
    assert len(naive) / 4 < found.effective < len(naive)
    assert (found.tokens, found.choices) == (pytest.approx(230), {"rag/base": 2000})


def test_intervals_hold_the_truth_nearly_always() -> None:
    found = [estimated(logged(400, seed)) for seed in range(1, 61)]
    for intervals in ([each.weighted for each in found], [each.doubly_robust for each in found]):
        assert sum(each.low < TRUTH < each.high for each in intervals) >= 53  # of 60 at 95%, by chance in 99 of 100


def test_the_policy_that_was_asked_is_worth_what_it_gave_without_its_chance() -> None:
    answers = logged(2000, seed=2)
    found = estimated(answers, rules("rag/base"))
    assert found.doubly_robust.low < 0.5 * 0.95 + 0.5 * 0.4 < found.doubly_robust.high
    assert found.ahead.low > 0


def test_one_question_asked_a_hundred_times_is_one() -> None:
    answers = logged(100, seed=3)
    same = [replace(each, request=RouteRequest(f" Hard 1{'' if n % 2 else ' '}")) for n, each in enumerate(answers)]
    with pytest.raises(DataError, match="One question is too few"):
        estimated(same)
    wide, narrow = (
        estimated([replace(each, request=RouteRequest(f"hard {n % groups}")) for n, each in enumerate(answers)]).given
        for groups in (2, 100)
    )
    assert wide.high - wide.low > narrow.high - narrow.low


def test_what_was_never_tried_cannot_be_told() -> None:
    answers = logged(40, seed=4)
    with pytest.raises(DataError, match=r"For \d+ of 40 questions the policy chooses support:5, which could not"):
        estimated(answers, rules("support:5"))
    never = [replace(each, arm="base", propensity=0.85) for each in answers]
    with pytest.raises(DataError, match="None of 40 questions was answered by the arm"):
        estimated(never)
