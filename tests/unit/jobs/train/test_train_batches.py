"""Packed rows become tensors: nothing lost, no part too large, padding without a loss."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from plait.jobs.train.batches import collate, idle_batch, micro_batches
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.packing import PackedRow


def row(*lengths: int, first: int = 10) -> PackedRow:
    """A row of segments of these lengths, all of it labelled but the first token of each."""
    ids = np.arange(first, first + sum(lengths), dtype=np.int32)
    labels = ids.copy()
    labels[np.cumsum([0, *lengths[:-1]])] = IGNORED
    return PackedRow(ids, labels, np.array(lengths, dtype=np.int32))


def test_rows_are_padded_to_the_longest_and_padding_carries_no_loss() -> None:
    batch = collate([row(2, 1), row(1)], pad_id=0)
    assert batch.input_ids.tolist() == [[10, 11, 12], [10, 0, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert batch.token_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.labels.tolist() == [[IGNORED, 11, IGNORED], [IGNORED, IGNORED, IGNORED]]
    assert batch.lengths == ((2, 1), (1,))
    assert (batch.token_count, batch.label_count) == (4, 1)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(16, 200))
def test_parts_of_a_batch_hold_every_row_once_and_fit(lengths: list[int], max_tokens: int) -> None:
    rows = [row(length, first=1000 * index) for index, length in enumerate(lengths)]
    parts = micro_batches(rows, max_tokens)
    assert sorted(int(r.input_ids[0]) for part in parts for r in part) == [1000 * i for i in range(len(lengths))]
    for part in parts:
        assert len(part) == 1 or len(part) * max(len(r.input_ids) for r in part) <= max_tokens


def test_an_idle_worker_takes_part_without_a_loss() -> None:
    batch = idle_batch(pad_id=3)
    assert (batch.token_count, batch.label_count) == (0, 0)
    assert torch.equal(batch.labels, torch.full_like(batch.labels, IGNORED))
