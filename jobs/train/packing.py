"""Packing: several short examples in one row, so that hardly anything is padding.

In: groups of examples that belong together (one example, or a preference pair). Out: rows of at most `max_tokens`
tokens. Best-fit decreasing (Johnson 1974): the longest group first, each into the fullest row that still holds it. No
example sees another: positions start again at each, and what a model is told not to see follows from them. It knows
nothing of files, batches or models.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait.jobs.train.encode import Example
from plait.jobs.train.loss import IGNORED

Tokens = npt.NDArray[np.int32]


@dataclass(frozen=True)
class PackedRow:
    """Segments one after the other: `input_ids` and `labels`, int32 [n]; `lengths`, int32 [segments], whose sum is n.

    The first label of every segment is IGNORED: nothing in its own segment predicts it.
    """

    input_ids: Tokens
    labels: Tokens
    lengths: Tokens


def positions(lengths: Tokens) -> npt.NDArray[np.int64]:
    """The position of every token in its own segment."""
    return np.concatenate([np.arange(length, dtype=np.int64) for length in lengths])


def pack(groups: Sequence[Sequence[Example]], max_tokens: int, is_packed: bool = True) -> list[PackedRow]:
    """Put groups into rows; a group is never divided.

    Args:
        groups: examples that must share a row; none longer than `max_tokens` together.
        max_tokens: longest row.
        is_packed: False gives every group a row of its own.
    """
    if not is_packed:
        return [_row(group) for group in groups]
    rows: list[list[Example]] = []
    room: list[tuple[int, int]] = []  # of every row that is not full: free tokens and the row's number, sorted
    sizes = [sum(len(example.input_ids) for example in group) for group in groups]
    for index in sorted(range(len(groups)), key=lambda i: -sizes[i]):
        fitting = bisect_left(room, (sizes[index], -1))
        if fitting < len(room):
            free, number = room.pop(fitting)
            rows[number] += groups[index]
        else:
            free, number = max_tokens, len(rows)
            rows.append(list(groups[index]))
        insort(room, (free - sizes[index], number))
    return [_row(row) for row in rows]


def _row(examples: Sequence[Example]) -> PackedRow:
    labels = [np.array(example.labels, dtype=np.int32) for example in examples]
    for of_segment in labels:
        of_segment[0] = IGNORED
    return PackedRow(
        np.concatenate([np.array(example.input_ids, dtype=np.int32) for example in examples]),
        np.concatenate(labels),
        np.array([len(example.input_ids) for example in examples], dtype=np.int32),
    )
