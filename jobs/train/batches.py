"""The order in which examples are seen, and how a batch of them becomes tensors.

The order is a pure function of seed, epoch and step, so a run that resumes at a step goes on with exactly the examples
that an undisturbed run would see. It knows nothing of files, models or workers beyond a rank.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plait.jobs.train.examples import Example
from plait.jobs.train.loss import IGNORED

# Examples of like length share a batch; sorting inside windows of so many batches keeps the order random enough.
_WINDOW = 16


@dataclass(frozen=True)
class Batch:
    """Right-padded tensors, each int64 [b, t]; `attention_mask` is 0 on padding."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    @property
    def token_count(self) -> int:
        """Tokens without padding."""
        return int(self.attention_mask.sum())


class BatchOrder:
    """Which examples make up the batch of a step, in whichever epoch the step falls.

    Every epoch holds every index exactly once, examples of similar length together.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self._epoch = -1
        self._batches: list[list[int]] = []

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps that see every example once; a batch of them may be smaller."""
        return -(-len(self._lengths) // self._batch_size)

    def batch(self, step: int) -> list[int]:
        """Indices of the examples of optimiser step `step`, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        return self._batches[index]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        rng = random.Random(f"{self._seed}:{epoch}")
        order = list(range(len(self._lengths)))
        rng.shuffle(order)
        batches = []
        window = self._batch_size * _WINDOW
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=self._lengths.__getitem__)
            batches += [near[i : i + self._batch_size] for i in range(0, len(near), self._batch_size)]
        rng.shuffle(batches)
        return batches


def micro_batches(indices: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Split a batch into parts of at most `max_tokens` tokens each, padding included; a longer example goes alone.

    Examples of similar length share a part, so little is padding.
    """
    parts: list[list[int]] = []
    for index in sorted(indices, key=lengths.__getitem__):
        # Sorted by length, so the newcomer is what the part would be padded to.
        if parts and (len(parts[-1]) + 1) * lengths[index] <= max_tokens:
            parts[-1].append(index)
        else:
            parts.append([index])
    return parts


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """Pad examples, at least one, to the longest of them."""
    length = max(len(e.input_ids) for e in examples)
    shape = (len(examples), length)
    input_ids = torch.full(shape, pad_id)
    attention_mask = torch.zeros(shape, dtype=torch.int64)
    labels = torch.full(shape, IGNORED)
    for row, example in enumerate(examples):
        n = len(example.input_ids)
        input_ids[row, :n] = torch.tensor(example.input_ids)
        attention_mask[row, :n] = 1
        labels[row, :n] = torch.tensor(example.labels)
    return Batch(input_ids, attention_mask, labels)
