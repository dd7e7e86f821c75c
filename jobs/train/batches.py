"""From packed rows to the tensors of a batch, in parts that fit into memory.

It knows nothing of files, orders or models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plait.jobs.train.loss import IGNORED, rounded
from plait.jobs.train.packing import PackedRow, positions


@dataclass(frozen=True)
class Batch:
    """Right-padded tensors, each int64 [b, t], and the lengths of the segments of every row.

    `position_ids` start again at every segment, and at the padding; `token_mask` is 0 on padding.
    """

    input_ids: Tensor
    position_ids: Tensor
    token_mask: Tensor
    labels: Tensor
    lengths: tuple[tuple[int, ...], ...]

    @property
    def token_count(self) -> int:
        """Tokens without padding."""
        return sum(map(sum, self.lengths))

    @property
    def label_count(self) -> int:
        """Positions that carry a label."""
        return int((self.labels[:, 1:] != IGNORED).sum())


def micro_batches(rows: Sequence[PackedRow], max_tokens: int) -> list[list[PackedRow]]:
    """Split rows into parts of at most `max_tokens` tokens each, padding included; a longer row goes alone.

    Rows of similar length share a part, so little is padding.
    """
    parts: list[list[PackedRow]] = []
    for row in sorted(rows, key=lambda row: len(row.input_ids)):
        # Sorted by length, so the newcomer is what the part would be padded to.
        if parts and (len(parts[-1]) + 1) * len(row.input_ids) <= max_tokens:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def collate(rows: Sequence[PackedRow], pad_id: int) -> Batch:
    """Pad rows, at least one, to the longest of them and a little more: see `rounded`."""
    longest = rounded(max(len(row.input_ids) for row in rows))
    shape = (len(rows), longest)
    input_ids = torch.full(shape, pad_id)
    position_ids = torch.zeros(shape, dtype=torch.int64)
    token_mask = torch.zeros(shape, dtype=torch.int64)
    labels = torch.full(shape, IGNORED)
    for index, row in enumerate(rows):
        n = len(row.input_ids)
        input_ids[index, :n] = torch.from_numpy(row.input_ids)
        position_ids[index, :n] = torch.from_numpy(positions(row.lengths))
        position_ids[index, n:] = torch.arange(longest - n)
        token_mask[index, :n] = 1
        labels[index, :n] = torch.from_numpy(row.labels)
    return Batch(input_ids, position_ids, token_mask, labels, tuple(tuple(map(int, row.lengths)) for row in rows))


def idle_batch(pad_id: int) -> Batch:
    """A batch without labels, for a worker that must take part in a step but has no rows left."""
    pad = torch.full((1, 2), pad_id)
    return Batch(pad, torch.tensor([[0, 1]]), torch.zeros_like(pad), torch.full_like(pad, IGNORED), ((),))
