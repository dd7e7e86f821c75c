"""Objectives: from a batch and a model to a loss and what it is a mean over.

In: a `Trainable` and a batch of packed rows. Out: a loss summed over its terms (labelled tokens, or preference pairs),
so that workers and micro-batches may be added before they are divided. It knows nothing of optimisers.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from plait.jobs.train.batches import Batch
from plait.jobs.train.trainable import Trainable
from plait.recipes import DpoConfig, ObjectiveConfig


@dataclass(frozen=True)
class Losses:
    """What a batch adds to a step: the sum of its losses, a scalar, and sums of other figures over the same terms."""

    total: Tensor
    figures: dict[str, float] = field(default_factory=dict)


def term_count(objective: ObjectiveConfig, batch: Batch) -> int:
    """Over how many terms the losses of a batch are summed: labelled tokens, or pairs."""
    if isinstance(objective, DpoConfig):
        return sum(len(lengths) for lengths in batch.lengths) // 2
    return batch.label_count


def figure_names(objective: ObjectiveConfig) -> tuple[str, ...]:
    """What `losses` tells beside the loss."""
    return ("reward_margin", "reward_accuracy") if isinstance(objective, DpoConfig) else ()


def losses(objective: ObjectiveConfig, model: Trainable, batch: Batch) -> Losses:
    """The losses of a batch under an objective."""
    if isinstance(objective, DpoConfig):
        return _preference_losses(objective, model, batch)
    return Losses(model(batch))


def _preference_losses(objective: DpoConfig, model: Trainable, batch: Batch) -> Losses:
    """DPO (Rafailov et al. 2023, arXiv:2305.18290, eq. 7), with label smoothing as in cDPO."""
    with torch.no_grad(), model.adapter_off():
        reference = _by_segment(model(batch, per_token=True), batch)
    policy = _by_segment(model(batch, per_token=True), batch)
    # Segments alternate: chosen, rejected, chosen, …
    gain = policy - reference
    chosen, rejected = objective.beta * gain[0::2], objective.beta * gain[1::2]
    margin = chosen - rejected
    wrong = objective.label_smoothing
    total = -((1 - wrong) * logsigmoid(margin) + wrong * logsigmoid(-margin)).sum()
    return Losses(total, {"reward_margin": float(margin.detach().sum()), "reward_accuracy": float((margin > 0).sum())})


def _by_segment(log_probs: Tensor, batch: Batch) -> Tensor:
    """Sums of [b, t - 1] over the segments of all rows: [segments]."""
    # Column t is of token t + 1, so the first token of a row, which nothing predicts, is missing.
    parts = [
        part.sum()
        for row, lengths in zip(log_probs, batch.lengths, strict=True)
        for part in row[: sum(lengths) - 1].split([lengths[0] - 1, *lengths[1:]])
    ]
    return torch.stack(parts) if parts else log_probs.new_zeros(0)
