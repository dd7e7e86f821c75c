"""Rehearsal: general text trained beside the examples, so that a model keeps what it could do before.

In: the packed general text of a run. Out: which of its rows go with a step, and their losses: that of the next token
(Robins 1995, Catastrophic forgetting, rehearsal and pseudorehearsal, Connection Science 7), and the divergence from the
base model (Li & Hoiem 2016, Learning without Forgetting, arXiv:1606.09282), for which the text only says where the two
are compared. It knows nothing of examples, optimisers or workers.
"""

from typing import Any

from plait.jobs.train.batches import Batch
from plait.jobs.train.kl import Weights
from plait.jobs.train.objectives.objective import Losses
from plait.jobs.train.shards import Manifest, RowOrder, RowRef, Shards
from plait.recipes import TrainRecipe

WINDOW_TOKENS = 128
"""Longest row of general text: short, so that small batches, too, get their share in every step."""


class Rehearsal:
    """The general text of a run, in one worker.

    Args:
        recipe: its share, its losses and the seed.
        shards: the general text.
        examples: what is in the rows that it goes with.
        steps_per_epoch: over how many steps these rows are spread.
    """

    def __init__(self, recipe: TrainRecipe, shards: Shards, examples: Manifest, steps_per_epoch: int) -> None:
        self.shards = shards
        self._weights = Weights(recipe.train.rehearsal_weight, recipe.train.kl_weight)
        self.figures = ("rehearsal_loss", "kl_to_base") if self._weights.kl else ("rehearsal_loss",)
        found, share = shards.manifest, recipe.data.rehearsal_share
        tokens_a_step = share / (1 - share) * examples.tokens / steps_per_epoch
        self._rows_a_step = tokens_a_step * found.rows / found.tokens
        self._order = RowOrder(found.shard_rows, 1, recipe.train.seed)

    def refs(self, step: int) -> list[RowRef]:
        """The rows of optimiser step `step`, counted from 0: a function of the step alone, as those of the examples.

        Of all tokens up to a step the share holds within one row. No text comes again before all of it has been seen.
        """
        first, end = (round(count * self._rows_a_step) for count in (step, step + 1))
        return [ref for index in range(first, end) for ref in self._order.batch(index)]

    def terms(self, batch: Batch) -> int:
        """Labelled tokens, which the losses are summed over."""
        return batch.label_count

    def losses(self, model: Any, batch: Batch) -> Losses:
        """The weighted losses of a batch, summed.

        Args:
            model: a `Trainable`, or what a strategy wrapped it into where nothing is compared with the base.
            batch: of general text.
        """
        if not self._weights.kl:
            loss = model(batch)
            return Losses(self._weights.next_token * loss, {"rehearsal_loss": float(loss.detach())})
        found = model.losses_beside_base(batch, self._weights)
        return Losses(found.total, {"rehearsal_loss": float(found.next_token), "kl_to_base": float(found.kl)})
