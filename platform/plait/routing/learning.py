"""Learn which arm is right on what: the best of several learners, chosen and judged on questions left out of learning.

In: outcomes and a trade. Out: an estimator; or, of every question, what one that had not seen its group would choose.
Learners are compared within the part to learn from, so that nothing of a question decides about it (nested
cross-validation: Cawley & Talbot 2010, jmlr.org/papers/v11/cawley10a). The same outcomes and seed give the same result.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plait.evaluation.statistics.means import Array
from plait.routing.estimators import LEARNERS
from plait.routing.estimators.estimator import Estimator, Learner, folds
from plait.routing.outcomes import Outcomes, Rows
from plait.routing.trade import best_first, utilities

OUTER_FOLDS = 5
INNER_FOLDS = 3


@dataclass(frozen=True)
class Learned:
    """What was learned of all outcomes.

    Attributes:
        learner: the name of the one that was chosen.
    """

    learner: str
    estimator: Estimator


@dataclass(frozen=True)
class Choices:
    """What would be chosen for questions whose group was not learned from.

    Attributes:
        arms: int [questions].
        by_kind: int [questions]: the arm that is best for the question's kind, in what was learned from.
        probabilities: float64 [questions, arms].
    """

    arms: Rows
    by_kind: Rows
    probabilities: Array


def learn(outcomes: Outcomes, points: float, seed: int) -> Learned:
    """Learn from all outcomes, by the learner that does best on groups that it is not shown.

    Args:
        points: what 1,000 tokens cost.
    """
    learner = _best_learner(outcomes, points, seed)
    return Learned(learner.name, learner.learn(outcomes, seed))


def choices_of(outcomes: Outcomes, points: float, seed: int) -> Choices:
    """What a policy that is learned of the other groups would choose, question by question."""
    arms, by_kind = np.empty(len(outcomes), dtype=np.intp), np.empty(len(outcomes), dtype=np.intp)
    probabilities = np.empty(outcomes.quality.shape)
    for train, rest in folds(outcomes, OUTER_FOLDS, seed):
        seen, unseen = outcomes.rows(train), outcomes.rows(rest)
        estimator = learn(seen, points, seed).estimator
        probabilities[rest] = estimator.probabilities(unseen.questions, unseen.vectors)
        arms[rest] = _chosen(probabilities[rest], seen.mean_tokens, points)
        by_kind[rest] = _best_of_kinds(seen, unseen.kinds, points)
    return Choices(arms, by_kind, probabilities)


def best_arm(outcomes: Outcomes, points: float) -> int:
    """The arm that is worth the most over all questions."""
    return best_first(outcomes.quality.mean(axis=0), outcomes.mean_tokens, points)[0]


def _best_learner(outcomes: Outcomes, points: float, seed: int) -> Learner:
    able = [learner for learner in LEARNERS if learner.can_learn(outcomes)]
    split = folds(outcomes, INNER_FOLDS, seed)
    worth = [_worth(learner, outcomes, split, points, seed) for learner in able]
    return able[int(np.argmax(worth))]


def _worth(learner: Learner, outcomes: Outcomes, split: Sequence[tuple[Rows, Rows]], points: float, seed: int) -> float:
    """What the answers that it would choose are worth, on average, in points."""
    total = 0.0
    for train, rest in split:
        seen, unseen = outcomes.rows(train), outcomes.rows(rest)
        probabilities = learner.learn(seen, seed).probabilities(unseen.questions, unseen.vectors)
        chosen = _chosen(probabilities, seen.mean_tokens, points)
        total += float(utilities(unseen.quality, unseen.tokens, points)[np.arange(len(rest)), chosen].sum())
    return total / len(outcomes)


def _chosen(probabilities: Array, tokens: Array, points: float) -> Rows:
    return np.array([best_first(each, tokens, points)[0] for each in probabilities], dtype=np.intp)


def _best_of_kinds(seen: Outcomes, kinds: Sequence[str], points: float) -> Rows:
    """The best arm of each kind; that of all questions for a kind that has not been seen."""
    best = {kind: best_arm(seen.rows(np.flatnonzero(np.array(seen.kinds) == kind)), points) for kind in set(seen.kinds)}
    over_all = best_arm(seen, points)
    return np.array([best.get(kind, over_all) for kind in kinds], dtype=np.intp)
