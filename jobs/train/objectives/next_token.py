"""The loss that fine-tuning and pre-training share: the cross-entropy of the next token, where there is a label."""

from typing import TYPE_CHECKING, ClassVar

from plait.jobs.train.objectives.objective import Losses

if TYPE_CHECKING:
    from plait.jobs.train.batches import Batch
    from plait.jobs.train.trainable import Trainable


class NextToken:
    """Examples that stand alone; each labelled token is a term."""

    group_size: ClassVar[int] = 1
    figures: ClassVar[tuple[str, ...]] = ()

    def terms(self, batch: "Batch") -> int:
        return batch.label_count

    def losses(self, model: "Trainable", batch: "Batch") -> Losses:
        return Losses(model(batch))
