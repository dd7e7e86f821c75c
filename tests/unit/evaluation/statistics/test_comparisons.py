"""Two arms on the same samples: what differs, by how much, and corrected for all that was compared."""

import numpy as np
import pytest

from plait.evaluation.statistics.binary import mcnemar_exact, paired_difference
from plait.evaluation.statistics.comparisons import Pair, compare, equality, holm


def test_right_and_wrong_are_compared_by_mcnemar_and_agresti_min() -> None:
    first, second = [1.0] * 9 + [0.0], [1.0] * 3 + [0.0] * 7
    (found,) = compare([Pair("contains", "a", "b", first, second)])
    right = [score == 1 for score in first], [score == 1 for score in second]
    expected = paired_difference(*right)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.p_value == found.corrected == mcnemar_exact(*right)


def test_numbers_are_compared_by_swapping_arms() -> None:
    first, second = [0.9, 0.8, 0.7, 1.0, 0.6], [0.5, 0.3, 0.5, 0.9, 0.1]
    (found,) = compare([Pair("token_f1", "a", "b", first, second)])
    assert found.p_value == pytest.approx(2 / 2**5)  # all five the same way, of 32 that are as likely
    assert found.value == pytest.approx(0.34)


def test_more_permutations_find_a_smaller_p_value() -> None:
    first, second = np.full(30, 0.9), np.full(30, 0.1)
    found = [equality(first, second, (), permutations) for permutations in (999, 19_999)]
    assert found == pytest.approx([2 / 1000, 2 / 20_000])


def test_documents_that_go_together_are_swapped_together() -> None:
    first: list[float | None] = [1.0] * 40
    second: list[float | None] = [0.0] * 40
    groups = [str(i // 10) for i in range(40)]
    alone, together = compare([Pair("m", "a", "b", first, second), Pair("m", "a", "b", first, second, groups)])
    assert alone.p_value < 1e-6
    assert together.p_value == pytest.approx(2 / 2**4)


def test_equal_arms_do_not_differ() -> None:
    scores = [0.1, 0.9, 0.4] * 10
    (found,) = compare([Pair("m", "a", "b", scores, scores)])
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert found.low < 0 < found.high


def test_what_cannot_be_said_may_not_make_a_difference() -> None:
    first: list[float | None] = [1.0] * 12 + [None] * 8
    second = [0.0] * 12 + [1.0] * 8
    (found,) = compare([Pair("m", "a", "b", first, second)])
    assert (found.value, found.unsaid, found.submitted) == (1.0, 8, 20)
    assert found.p_value == mcnemar_exact([True] * 12 + [False] * 8, [False] * 12 + [True] * 8)
    assert found.low < 0.25


def test_where_the_unsaid_decide_nothing_is_told_apart() -> None:
    first: list[float | None] = [1.0] * 6 + [None] * 14
    (found,) = compare([Pair("m", "a", "b", first, [0.0] * 6 + [1.0] * 14)])
    assert found.p_value == 1.0
    assert found.low < 0 < found.high


def test_all_pairs_and_metrics_are_corrected_together() -> None:
    pairs = [
        Pair(metric, "a", "b", [1.0] * right + [0.0] * (12 - right), [0.0] * 12)
        for metric, right in (("x", 12), ("y", 8), ("z", 7))
    ]
    found = compare(pairs)
    assert [each.corrected for each in found] == holm([each.p_value for each in found])
    assert all(each.corrected >= each.p_value for each in found)


def test_holm_corrects_for_several_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_arms_that_answered_different_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="1 and 2 scores"):
        compare([Pair("m", "a", "b", [1.0], [1.0, 0.0])])
