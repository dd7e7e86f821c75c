"""How often intervals of 95% hold the truth that was simulated: with judges of every sort, few labels, lost verdicts.

A population's truths are drawn anew each time. The truth that an interval should hold is the probability that they are
drawn with, not what the drawn ones happen to be.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plait.evaluation.labels.choice import choose, stratum
from plait.evaluation.statistics.figure import figure
from plait.evaluation.statistics.prediction_powered import prediction_powered

_RIGHT = 0.7
"""Of the samples."""


@dataclass(frozen=True)
class JudgeError:
    """How a simulated judge errs: how often it says so of what is right, and of what is not."""

    name: str
    right_called_right: float
    wrong_called_right: float


BIASED = JudgeError("biased: calls 95% of the right and 60% of the wrong ones right", 0.95, 0.6)
JUDGES = (
    JudgeError("good: calls 95% of the right and 5% of the wrong ones right", 0.95, 0.05),
    BIASED,
    JudgeError("random: calls half of all right", 0.5, 0.5),
)


@dataclass(frozen=True)
class Coverage:
    """Shares of the runs whose interval held the truth, and how wide the intervals were on average."""

    held: float
    width: float


def judge_alone(error: JudgeError, runs: int, samples: int) -> Coverage:
    """The judge's mean with its own interval, which knows nothing of the judge's errors."""

    def interval(truths: "np.ndarray", judged: "np.ndarray") -> tuple[float, float]:
        found = figure(judged.astype(float).tolist())
        return found.low, found.high

    return _covered(error, runs, samples, interval)


def with_labels(error: JudgeError, runs: int, samples: int, labels: int) -> Coverage:
    """The prediction-powered estimate, from labels of samples that `plait evaluate label` would choose."""
    seeds = iter(range(runs))

    def interval(truths: "np.ndarray", judged: "np.ndarray") -> tuple[float, float]:
        scores = judged.astype(float).tolist()
        known = set(choose(scores, labels, seed=next(seeds)))
        given = [float(truth) if place in known else None for place, truth in enumerate(truths)]
        found = prediction_powered(scores, given, [stratum(score) for score in scores])
        return found.low, found.high

    return _covered(error, runs, samples, interval)


def with_lost_verdicts(runs: int, samples: int, lost: float) -> Coverage:
    """A judge that never errs but gives no verdict on some samples, twice as often on wrong ones."""
    random = np.random.default_rng(7)
    of_wrong = lost / (1 - _RIGHT / 2)

    def interval(truths: "np.ndarray", judged: "np.ndarray") -> tuple[float, float]:
        is_lost = random.random(len(truths)) < np.where(truths, of_wrong / 2, of_wrong)
        found = figure([None if gone else float(truth) for truth, gone in zip(truths, is_lost, strict=True)])
        return found.low, found.high

    return _covered(JudgeError("", 1, 0), runs, samples, interval)


def _covered(
    error: JudgeError,
    runs: int,
    samples: int,
    interval: Callable[["np.ndarray", "np.ndarray"], tuple[float, float]],
) -> Coverage:
    random, held, widths = np.random.default_rng(1), 0, []
    for _ in range(runs):
        truths = random.random(samples) < _RIGHT
        says_right = np.where(truths, error.right_called_right, error.wrong_called_right)
        low, high = interval(truths, random.random(samples) < says_right)
        held += low <= _RIGHT <= high
        widths.append(high - low)
    return Coverage(held / runs, float(np.mean(widths)))
