"""What training minimises: the port that each objective implements, and the registry of objectives.

An objective is one file in this folder: its section of the recipe, its class, and a line in `__init__` that registers
both. Nothing else asks which objective a run has. An objective knows nothing of files, optimisers or workers; it
imports torch where it computes, because recipes are read without it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from plait.jobs.train.fields import Fields
from plait.recipes.objectives import OBJECTIVES, ObjectiveConfig

if TYPE_CHECKING:
    from torch import Tensor

    from plait.jobs.train.batches import Batch
    from plait.jobs.train.encode import Encoder, Example
    from plait.jobs.train.trainable import Trainable

C = TypeVar("C", bound=ObjectiveConfig)


@dataclass(frozen=True)
class Losses:
    """What a batch adds to a step: the sum of its losses, a scalar, and sums of other figures over the same terms."""

    total: "Tensor"
    figures: dict[str, float] = field(default_factory=dict)


class Objective(Protocol):
    """From the fields of a row to a loss.

    Attributes:
        group_size: examples of a group, which lie side by side in a packed row. The first of them is what the model
            should say; sample answers are compared with it.
        figures: names of what `losses` tells beside the loss.
    """

    group_size: ClassVar[int]
    figures: ClassVar[tuple[str, ...]]

    def parse(self, fields: Fields, unused: set[str]) -> Any:
        """What a row means: a `Conversation`, a `Text`, or a type of this objective's own.

        Args:
            fields: of the row; whoever takes one uses it.
            unused: gets the names of keys within fields that mean nothing here, as in `messages.id`.

        Raises:
            BadRow: when the row cannot be used.
        """

    def encode(self, meaning: Any, encoder: "Encoder") -> "list[list[Example]]":
        """The groups of examples of one row.

        Raises:
            BadRow: when it is too long, or the chat format cannot write it.
        """

    def terms(self, batch: "Batch") -> int:
        """How many terms the losses of a batch are summed over, such as labelled tokens."""

    def losses(self, model: "Trainable", batch: "Batch") -> Losses:
        """The losses of a batch, summed, so that workers and micro-batches may be added before they are divided."""


_OBJECTIVES: dict[type[ObjectiveConfig], Callable[[Any], Objective]] = {}


def register(config: type[C], objective: Callable[[C], Objective]) -> None:
    """Add an objective: recipes may name it from now on.

    Args:
        config: its section of a recipe.
        objective: makes the objective from its section.

    Raises:
        ValueError: when another objective has its name.
    """
    OBJECTIVES.register(config)
    _OBJECTIVES[config] = objective


def objective_of(config: ObjectiveConfig) -> Objective:
    """The objective that a recipe asks for."""
    return _OBJECTIVES[type(config)](config)
