"""Looking at every sample: how often equal arms are told apart, and how soon a broken one is."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from plait.evaluation.statistics.confidence_sequences import (
    Moments,
    least_difference_in_means,
    least_difference_in_rates,
    least_rate,
)

ALPHA, RUNS, REQUESTS, SHARE, LEAST = 0.05, 1000, 1000, 0.25, 50
MOST_FALSE = int(stats.binom.ppf(0.99, RUNS, ALPHA))
"""Of 1,000 runs, if each is false with a probability of alpha."""
Array = np.ndarray[Any, np.dtype[np.float64]]


def ever_worse_in_means(values: Array, is_candidate: Array) -> Array:
    """The request [runs] after which somebody who looks after each rolls back; REQUESTS where that never happens."""
    first, second = (
        Moments(arm.cumsum(1), (values * arm).cumsum(1), (values**2 * arm).cumsum(1))
        for arm in (is_candidate, 1 - is_candidate)
    )
    bound = least_difference_in_means(first, second, ALPHA, LEAST / SHARE)
    is_found = (bound > 0) & (first.count >= LEAST) & (second.count >= LEAST)
    return np.where(is_found.any(1), is_found.argmax(1), REQUESTS)


def ever_worse_in_rates(failures: Array, is_candidate: Array) -> Array:
    """The same of failures. A look after each of the candidate's is enough: nothing else raises the bound so."""
    first, second = is_candidate, 1 - is_candidate
    looks = np.nonzero((failures * first) > 0)
    seen = [((failures * first).cumsum(1), first.cumsum(1)), ((failures * second).cumsum(1), second.cumsum(1))]
    bound = least_difference_in_rates(*(sums[looks] for arm in seen for sums in arm), ALPHA)
    found = np.full(RUNS, REQUESTS)
    np.minimum.at(found, looks[0], np.where(bound > 0, looks[1], REQUESTS))
    return found


def drawn(rng: np.random.Generator, kind: str) -> Array:
    shape = (RUNS, REQUESTS)
    if kind == "latency":
        return np.log(rng.lognormal(0.0, 0.8, shape) + 0.2)
    return -rng.beta(2.0, 0.5, shape) if kind == "quality" else np.where(rng.random(shape) < 0.2, 1.0, 0.0)


@pytest.mark.parametrize("kind", ["latency", "quality", "right or wrong"])
def test_equal_arms_are_told_apart_no_more_often_than_alpha_though_somebody_looks_at_every_sample(kind: str) -> None:
    rng = np.random.default_rng(7)
    values, is_candidate = drawn(rng, kind), np.where(rng.random((RUNS, REQUESTS)) < SHARE, 1.0, 0.0)
    assert (ever_worse_in_means(values, is_candidate) < REQUESTS).sum() <= MOST_FALSE
    # Worse by half of its spread: found in nearly all runs, and in half of them within 160 requests of the candidate.
    found = ever_worse_in_means(values + is_candidate * values.std() / 2, is_candidate)
    assert (found < REQUESTS).mean() > 0.95
    assert np.median(found) * SHARE < 160


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.4])
def test_equal_failure_rates_are_told_apart_no_more_often_than_alpha(rate: float) -> None:
    rng = np.random.default_rng(8)
    is_candidate = np.where(rng.random((RUNS, REQUESTS)) < SHARE, 1.0, 0.0)
    failures = np.where(rng.random((RUNS, REQUESTS)) < rate, 1.0, 0.0)
    assert (ever_worse_in_rates(failures, is_candidate) < REQUESTS).sum() <= MOST_FALSE


def test_a_candidate_that_always_fails_is_found_after_a_handful_of_requests() -> None:
    rng = np.random.default_rng(9)
    is_candidate = np.where(rng.random((RUNS, REQUESTS)) < SHARE, 1.0, 0.0)
    found = ever_worse_in_rates(is_candidate, is_candidate)
    failed = is_candidate.cumsum(1)[np.arange(RUNS), found]
    assert failed.max() <= 12


def test_a_test_of_every_sample_at_a_fixed_level_would_be_false_far_more_often() -> None:
    """What the sequence is for: the interval of one look, taken at every sample, tells equal arms apart."""
    rng = np.random.default_rng(7)
    values, first = drawn(rng, "latency"), np.where(rng.random((RUNS, REQUESTS)) < SHARE, 1.0, 0.0)
    arms = [Moments(a.cumsum(1), (values * a).cumsum(1), (values**2 * a).cumsum(1)) for a in (first, 1 - first)]
    with np.errstate(invalid="ignore"):
        z = (arms[0].mean - arms[1].mean) / np.sqrt(arms[0].variance_of_mean + arms[1].variance_of_mean)
    is_found = (z > stats.norm.ppf(1 - ALPHA)) & (arms[0].count >= LEAST)
    assert is_found.any(1).sum() > 3 * MOST_FALSE


def test_nothing_is_said_of_too_few_samples() -> None:
    one, none = Moments(1, 2.0, 4.0), Moments(0, 0.0, 0.0)
    assert least_difference_in_means(one, one, ALPHA, 100) == -np.inf
    assert least_difference_in_means(none, one, ALPHA, 100) == -np.inf
    assert least_rate(0, 0, ALPHA) == 0
    assert least_difference_in_rates(0, 0, 0, 0, ALPHA) == -1
