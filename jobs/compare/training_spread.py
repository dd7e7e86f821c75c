"""How far trainings of the same recipe with other seeds lie apart, of an arm and of a pair of arms.

The variance between seeds is pooled over the tuned arms that answer alike (all with passages or all without, all
updated or none), since three trainings alone tell little about it: its degrees of freedom are added up. A pair of arms
with the weights of one training, as `lora` and `rag/lora` are, is compared within each training.
"""

from collections.abc import Sequence

import numpy as np

from plait.evaluation.statistics.means import Array
from plait.jobs.compare.accuracy import Answers
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.intervals import Spread, weights_of


def seed_means(answers: Answers) -> Array:
    """The accuracy of every training, each kind with the same weight: float64 [seeds]."""
    return np.average(answers.middle, axis=0, weights=weights_of(answers.questions))


def arm_spread(answers: Answers, all_answers: Sequence[Answers]) -> Spread:
    """Of an arm's accuracy on some questions.

    Args:
        all_answers: of all arms that were asked these questions.
    """
    return _pooled([seed_means(each) for each in _peers(answers.arm, all_answers).values()], answers)


def pair_spread(first: Answers, second: Answers, all_answers: Sequence[Answers]) -> Spread:
    """Of the difference of two arms on some questions."""
    if first.arm.trained and first.arm.trained == second.arm.trained:
        one, other = (_peers(answers.arm, all_answers) for answers in (first, second))
        contrasts = [seed_means(one[name]) - seed_means(other[name]) for name in one if name in other]
        return _pooled(contrasts, first)
    spreads = [arm_spread(answers, all_answers) for answers in (first, second) if answers.arm.seeds > 1]
    if not spreads:
        return Spread()
    return Spread(sum(spread.variance for spread in spreads), min(spread.degrees for spread in spreads))


def _peers(arm: Arm, all_answers: Sequence[Answers]) -> dict[str, Answers]:
    """Of arms that are trained and answer like this one, by what is trained."""
    return {
        answers.arm.trained: answers
        for answers in all_answers
        if answers.arm.trained and (answers.arm.retrieves, answers.arm.is_updated) == (arm.retrieves, arm.is_updated)
    }


def _pooled(means: Sequence[Array], answers: Answers) -> Spread:
    """From what each tuned arm's seeds reached; nothing for an arm of one seed."""
    seeds = answers.arm.seeds
    if seeds == 1:
        return Spread()
    degrees = len(means) * (seeds - 1)
    squares = sum(float(((of_arm - of_arm.mean()) ** 2).sum()) for of_arm in means)
    return Spread(squares / degrees / seeds, degrees)
