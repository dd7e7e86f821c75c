"""Packing loses nothing, divides no group, overfills no row, and hides every example from its neighbours."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plait.jobs.train.encode import Example
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.packing import PackedRow, pack, positions

MAX_TOKENS = 24


def example(number: int, length: int) -> Example:
    ids = [number * 100 + i for i in range(length)]
    return Example(ids, list(ids))


@st.composite
def groups(draw: st.DrawFn, size: int | None = None) -> list[list[Example]]:
    shapes = draw(st.lists(st.lists(st.integers(1, 8), min_size=size or 1, max_size=size or 3), max_size=40))
    numbers = iter(range(1, 1000))
    return [[example(next(numbers), length) for length in shape] for shape in shapes]


def segments(row: PackedRow) -> list[tuple[int, ...]]:
    ends = np.cumsum(row.lengths)
    return [tuple(row.input_ids[end - length : end].tolist()) for end, length in zip(ends, row.lengths, strict=True)]


@given(groups(), st.booleans())
def test_every_example_lies_in_exactly_one_row(given_groups: list[list[Example]], is_packed: bool) -> None:
    packed = Counter(segment for row in pack(given_groups, MAX_TOKENS, is_packed) for segment in segments(row))
    assert packed == Counter(tuple(e.input_ids) for group in given_groups for e in group)


@given(groups())
def test_no_row_is_longer_than_allowed_and_lengths_add_up(given_groups: list[list[Example]]) -> None:
    for row in pack(given_groups, MAX_TOKENS):
        assert len(row.input_ids) == len(row.labels) == row.lengths.sum() <= MAX_TOKENS
        assert {array.dtype for array in (row.input_ids, row.labels, row.lengths)} == {np.dtype(np.int32)}


@given(groups(size=2))
def test_a_pair_stays_together_chosen_before_rejected(pairs: list[list[Example]]) -> None:
    expected = {tuple(tuple(e.input_ids) for e in pair) for pair in pairs}
    for row in pack(pairs, MAX_TOKENS):
        found = segments(row)
        assert {(found[i], found[i + 1]) for i in range(0, len(found), 2)} <= expected


@given(groups())
def test_the_first_token_of_a_segment_is_never_a_target(given_groups: list[list[Example]]) -> None:
    for row in pack(given_groups, MAX_TOKENS):
        is_first = positions(row.lengths) == 0
        assert (row.labels[is_first] == IGNORED).all()
        assert (row.labels[~is_first] == row.input_ids[~is_first]).all()
        # So a plain shift over the whole row never asks a token of one segment for a token of the next.
        number = row.input_ids // 100
        asks = row.labels[1:] != IGNORED
        assert (number[:-1][asks] == number[1:][asks]).all()


@given(groups())
def test_the_same_groups_are_always_packed_the_same(given_groups: list[list[Example]]) -> None:
    first, second = ([segments(row) for row in pack(given_groups, MAX_TOKENS)] for _ in range(2))
    assert first == second


@given(groups())
def test_packing_leaves_at_most_one_row_less_than_half_full(given_groups: list[list[Example]]) -> None:
    small = [group for group in given_groups if sum(len(e.input_ids) for e in group) <= MAX_TOKENS // 2]
    assert sum(len(row.input_ids) <= MAX_TOKENS // 2 for row in pack(small, MAX_TOKENS)) <= 1


def test_the_fullest_row_that_still_has_room_is_taken() -> None:
    rows = pack([[example(i, length)] for i, length in enumerate((14, 4, 20))], MAX_TOKENS)
    assert sorted(sorted(row.lengths.tolist()) for row in rows) == [[4, 20], [14]]


@given(groups())
def test_without_packing_every_group_has_a_row_of_its_own_in_order(given_groups: list[list[Example]]) -> None:
    rows = pack(given_groups, MAX_TOKENS, is_packed=False)
    assert [segments(row) for row in rows] == [[tuple(e.input_ids) for e in group] for group in given_groups]


def test_packing_changes_no_example() -> None:
    given_example = example(1, 5)
    pack([[given_example]], MAX_TOKENS)
    assert given_example == example(1, 5)


def test_positions_begin_again_at_every_segment() -> None:
    assert positions(np.array([3, 1, 2], dtype=np.int32)).tolist() == [0, 1, 2, 0, 0, 1]
