"""Shares and paired shares: the published intervals, and what they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.evaluation.statistics.binary import mcnemar_exact, paired_difference, wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share_and_stays_inside_0_and_1(case: tuple[int, int]) -> None:
    successes, trials = case
    interval = wilson(successes, trials)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    mirrored = wilson(trials - successes, trials)
    assert mirrored.low == pytest.approx(1 - interval.high)
    assert wilson(successes * 4, trials * 4).high - wilson(successes * 4, trials * 4).low < interval.high - interval.low


def test_the_interval_is_the_published_one() -> None:
    # Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857), table I, method 3
    interval = wilson(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(3, 2)


def test_the_paired_test_counts_only_disagreements() -> None:
    first = [True] * 10 + [False] * 5
    assert mcnemar_exact(first, first) == 1.0
    # 10 questions that only the first arm gets right: 2 * (1/2)^10
    assert mcnemar_exact([True] * 10, [False] * 10) == pytest.approx(2 / 1024)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_paired_test_does_not_care_which_arm_comes_first(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)
    assert 0 < mcnemar_exact(first, second) <= 1


def test_the_difference_of_paired_shares_and_its_interval() -> None:
    found = paired_difference([True] * 8 + [False] * 2, [True] * 4 + [False] * 6)
    assert found.value == pytest.approx(0.4)
    assert (found.low, found.high) == pytest.approx((1 / 3 - 0.3138, 1 / 3 + 0.3138), abs=2e-3)
    same = paired_difference([True, False], [True, False])
    assert (same.value, same.low, same.high) == pytest.approx((0, -same.high, same.high))
