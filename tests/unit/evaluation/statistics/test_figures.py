"""A figure says what was submitted, and its interval takes what cannot be said for both."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.evaluation.statistics.binary import wilson
from plait.evaluation.statistics.figure import Figure, figure


def test_right_and_wrong_have_the_score_interval() -> None:
    found, expected = figure([1.0] * 7 + [0.0] * 3), wilson(7, 10)
    assert found == Figure(0.7, expected.low, expected.high, 10, 0)


def test_what_cannot_be_said_is_wrong_for_the_lower_and_right_for_the_upper_bound() -> None:
    found = figure([1.0] * 6 + [0.0] * 2 + [None] * 2)
    assert (found.value, found.submitted, found.unsaid) == (0.75, 10, 2)
    assert (found.low, found.high) == (wilson(6, 10).low, wilson(8, 10).high)


def test_one_verdict_of_five_is_no_perfect_score() -> None:
    found = figure([1.0, None, None, None, None])
    assert found.value == 1.0
    assert found.low < 0.05
    assert found.high == 1.0


def test_where_nothing_can_be_said_there_is_no_value_and_no_bound() -> None:
    found = figure([None] * 4)
    assert found.value is None
    assert (found.low, found.high) == (0.0, 1.0)


def test_samples_of_one_document_count_as_one_where_they_go_together() -> None:
    scores = [1.0] * 20 + [0.0] * 20
    alone = figure(scores)
    together = figure(scores, [f"document {i // 10}" for i in range(40)])
    assert together.value == alone.value
    assert together.low < alone.low < alone.high < together.high
    unnamed = figure(scores, [""] * 40)
    assert unnamed == alone


def test_perfect_answers_about_few_documents_are_as_sure_as_the_documents_are_many() -> None:
    assert figure([1.0] * 40, [str(i // 10) for i in range(40)]).low < wilson(4, 4).low


def test_numbers_that_are_all_the_same_leave_room_for_what_was_not_seen() -> None:
    found = figure([0.5] * 20)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.2
    assert figure([1.0] * 20).low < 1.0


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=14))
def test_no_figure_is_ever_nan(scores: list[float | None]) -> None:
    found = figure(scores)
    assert 0 <= found.low <= found.high <= 1
    assert found.value is None or found.low <= found.value <= found.high


def test_numbers_are_bootstrapped_and_the_same_each_time() -> None:
    scores = [1.0, 0.5, 0.75, 1.0, 0.0] * 8
    found = figure(scores)
    assert found == figure(scores)
    # The normal interval is near the bootstrap's for 40 numbers.
    mean = sum(scores) / 40
    deviation = math.sqrt(sum((score - mean) ** 2 for score in scores) / 39 / 40)
    assert found.low == pytest.approx(mean - 1.96 * deviation, abs=0.03)
    assert found.high == pytest.approx(mean + 1.96 * deviation, abs=0.03)


@pytest.mark.parametrize("scores", [[], [1.2], [float("nan")]])
def test_what_is_no_score_is_refused(scores: list[float | None]) -> None:
    with pytest.raises(ValueError, match="numbers between"):
        figure(scores)


def test_groups_that_do_not_fit_the_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        figure([1.0, 0.0], ["a"])
