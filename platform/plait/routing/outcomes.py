"""What came of the same questions put to several arms: what policies are learned from and judged by.

It knows neither how the arms answered nor who judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plait.evaluation.statistics.means import Array
from plait.models.vectors import Vectors
from plait.routing.policy import RoutedArm

Rows = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Outcomes:
    """Questions, and how each arm did on them.

    Attributes:
        arms: named, with the model ids that a server answers by.
        quality: float64 [questions, arms], in [0, 1]: how right the answers were.
        tokens: float64 [questions, arms]: read and written for the answers.
        kinds: of the questions, as the eval set names them.
        groups: of questions that are not independent, as a rule documents; an empty one is a group of its own.
        vectors: float32 [questions, dimension], unit length: the questions embedded as queries; None: they are not.
    """

    arms: Sequence[RoutedArm]
    questions: Sequence[str]
    quality: Array
    tokens: Array
    kinds: Sequence[str]
    groups: Sequence[str]
    vectors: Vectors | None = None

    def __len__(self) -> int:
        return len(self.questions)

    def rows(self, index: Rows) -> "Outcomes":
        """Those of some questions."""
        return replace(
            self,
            questions=[self.questions[row] for row in index],
            quality=self.quality[index],
            tokens=self.tokens[index],
            kinds=[self.kinds[row] for row in index],
            groups=[self.groups[row] for row in index],
            vectors=None if self.vectors is None else self.vectors[index],
        )

    @property
    def group_numbers(self) -> Rows:
        """The number of each question's group, in the order in which they first come."""
        numbers: dict[object, int] = {}
        return np.array(
            [numbers.setdefault(group or row, len(numbers)) for row, group in enumerate(self.groups)], dtype=np.intp
        )

    @property
    def mean_tokens(self) -> Array:
        """float64 [arms]: what an answer takes."""
        return np.asarray(self.tokens.mean(axis=0))

    @property
    def measured_arms(self) -> tuple[RoutedArm, ...]:
        """The arms with their accuracy and tokens over all questions."""
        return tuple(
            arm.model_copy(update={"accuracy": float(quality), "tokens": float(tokens)})
            for arm, quality, tokens in zip(self.arms, self.quality.mean(axis=0), self.mean_tokens, strict=True)
        )
