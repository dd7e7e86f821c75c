"""`Estimator`: questions to the probability that each arm answers them right. `Learner`: outcomes to an estimator."""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from sklearn.model_selection import GroupKFold

from plait.evaluation.statistics.means import Array
from plait.models.vectors import Vectors
from plait.routing.outcomes import Outcomes, Rows
from plait.routing.policy import Arrays


class Estimator(Protocol):
    """What was learned. It is kept as arrays and words, never as a pickle, which could run code when loaded."""

    @property
    def name(self) -> str:
        """As a policy's file has it."""

    @property
    def dimension(self) -> int:
        """Of the embeddings that it needs; 0: it needs none."""

    @property
    def arrays(self) -> Arrays:
        """All numbers of it, by name."""

    @property
    def words(self) -> Sequence[str]:
        """All words of it, in the order in which the numbers have them."""

    @classmethod
    def opened(cls, arrays: Arrays, words: Sequence[str], arms: int) -> Self:
        """The estimator that was kept.

        Raises:
            ValueError: one line, when these do not belong together.
        """

    def probabilities(self, questions: Sequence[str], vectors: Vectors | None) -> Array:
        """Of a right answer: float64 [questions, arms], in [0, 1].

        Args:
            vectors: float32 [questions, dimension]; None: there are none, and none are needed.
        """

    def reasons(self, question: str, vector: Vectors | None) -> list[str]:
        """Of each arm, in half a sentence, what speaks for its probability."""


class Learner(Protocol):
    """A way to learn, with its settings."""

    @property
    def name(self) -> str:
        """As in `20 nearest questions`."""

    def can_learn(self, outcomes: Outcomes) -> bool:
        """Whether they have what it takes."""

    def learn(self, outcomes: Outcomes, seed: int) -> Estimator:
        """Learn from outcomes of at least two groups."""


def folds(outcomes: Outcomes, count: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Rows to learn from and rows to judge by, several times; no group is in both. At most one for each group."""
    groups = outcomes.group_numbers
    split = GroupKFold(n_splits=min(count, len(np.unique(groups))), shuffle=True, random_state=seed)
    return list(split.split(groups, groups=groups))


def named(arrays: Arrays, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """The arrays of an estimator, checked: these names, these shapes (-1: any length), finite float32.

    Raises:
        ValueError: names the array at fault.
    """
    if arrays.keys() != shapes.keys():
        raise ValueError(f"the arrays are {', '.join(sorted(arrays)) or 'none'}, not {', '.join(sorted(shapes))}")
    for name, shape in shapes.items():
        array = arrays[name]
        fits = len(shape) == array.ndim and all(
            wanted in (-1, size) for wanted, size in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"the array {name} is not finite float32 of the shape that the arms and words have")
    return dict(arrays)
