"""Intervals hold with few labels, whatever the judge is worth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from plait.evaluation.labels.choice import choose, stratum
from plait.evaluation.statistics.means import mean_interval
from plait.evaluation.statistics.prediction_powered import PredictionPowered, prediction_powered

SAMPLES, LABELS, RUNS = 300, 60, 800

Truth = np.ndarray[Any, np.dtype[np.bool_]]
Judged = Callable[[Truth, np.random.Generator], list[float | None]]


def biased(truth: Truth, random: np.random.Generator) -> list[float | None]:
    """A lenient judge: it calls 95% of the right replies right, and 40% of the wrong ones; of some it says nothing."""
    said = random.random(len(truth)) < np.where(truth, 0.95, 0.4)
    unsaid = random.random(len(truth)) < 0.03
    return [None if nothing else float(right) for right, nothing in zip(said, unsaid, strict=True)]


def graded(truth: Truth, random: np.random.Generator) -> list[float | None]:
    """A lenient judge that gives shares: right replies about 0.9, wrong ones about 0.6."""
    return list(np.where(truth, random.beta(9, 1, len(truth)), random.beta(6, 4, len(truth))))


def guessing(truth: Truth, random: np.random.Generator) -> list[float | None]:
    """A judge that knows nothing."""
    return list((random.random(len(truth)) < 0.9).astype(float))


def estimated(scores: list[float | None], truth: Truth, seed: int) -> PredictionPowered:
    chosen = set(choose(scores, LABELS, seed))
    labels = [float(right) if place in chosen else None for place, right in enumerate(truth)]
    return prediction_powered(scores, labels, [stratum(score) for score in scores])


@pytest.mark.parametrize(("judge", "share"), [(biased, 0.7), (biased, 0.85), (graded, 0.7), (guessing, 0.85)])
def test_intervals_cover_what_people_would_say(judge: Judged, share: float) -> None:
    random, covered = np.random.default_rng(6), 0
    for run in range(RUNS):
        truth = random.random(SAMPLES) < share
        found = estimated(judge(truth, random), truth, run)
        covered += found.low <= share <= found.high
    assert 0.93 <= covered / RUNS <= 0.97


def test_a_lenient_judge_alone_is_sure_of_what_is_not_so() -> None:
    random = np.random.default_rng(6)
    truth = random.random(SAMPLES) < 0.7
    scores = graded(truth, random)
    assert mean_interval([score or 0.0 for score in scores])[0] > 0.7
    found = estimated(scores, truth, 0)
    assert found.low < 0.7 < found.high


def test_a_good_judge_makes_the_interval_narrower_than_the_labels_alone_do() -> None:
    random = np.random.default_rng(7)
    truth = random.random(1000) < 0.7
    good: list[float | None] = list(np.where(random.random(1000) < 0.95, truth, ~truth).astype(float))
    found = estimated(good, truth, 0)
    low, high = mean_interval(truth[:LABELS].astype(float).tolist())
    assert found.high - found.low < 0.7 * (high - low)


def test_a_useless_judge_is_not_trusted() -> None:
    random = np.random.default_rng(8)
    truth = random.random(400) < 0.7
    noise: list[float | None] = list(random.random(400))
    labels = [float(right) if place < 100 else None for place, right in enumerate(truth)]
    found = prediction_powered(noise, labels)
    assert found.trust < 0.25
    assert found.value == pytest.approx(truth[:100].mean(), abs=0.02)


def test_where_all_is_labelled_the_mean_is_the_labels() -> None:
    labels: list[float | None] = [1.0, 0.0, 1.0, 1.0] * 10
    found = prediction_powered([0.5] * 40, labels)
    assert found.value == pytest.approx(0.75)
    assert (found.submitted, found.labels) == (40, 40)


def test_labels_that_agree_leave_room_for_one_that_does_not() -> None:
    labels = [1.0 if place < 40 else None for place in range(400)]
    found = prediction_powered([1.0] * 400, labels)
    assert found.value == 1.0
    assert found.low < 0.98


def test_samples_of_one_document_count_together() -> None:
    random = np.random.default_rng(9)
    truth = np.repeat(random.random(30) < 0.7, 10)
    scores: list[float | None] = list(np.where(truth, 0.9, 0.4))
    labels = [float(right) if place % 3 == 0 else None for place, right in enumerate(truth)]
    alone = prediction_powered(scores, labels)
    together = prediction_powered(scores, labels, groups=[str(place // 10) for place in range(300)])
    assert together.value == alone.value
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_few_labels_and_strata_without_any_are_refused() -> None:
    with pytest.raises(ValueError, match="29 labels"):
        prediction_powered([1.0] * 60, [1.0] * 29 + [None] * 31)
    with pytest.raises(ValueError, match="stratum"):
        prediction_powered([1.0] * 60, [1.0] * 30 + [None] * 30, ["a"] * 30 + ["b"] * 30)
