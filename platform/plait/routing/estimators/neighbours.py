"""Nearest neighbours: an arm is right on a question as often as it was on the nearest questions that it was asked.

Near is what means the same: the cosine of the embeddings. One more neighbour, which is the average question, keeps few
agreeing neighbours from saying never or always. On benchmarks of routing it is as good as methods that learn much more
(Li 2025, arXiv:2505.12601).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plait.evaluation.statistics.means import Array
from plait.models.vectors import Vectors
from plait.routing.estimators.estimator import named
from plait.routing.outcomes import Outcomes
from plait.routing.policy import Arrays


@dataclass(frozen=True)
class NeighboursEstimator:
    """The questions that were asked, and how right each arm was.

    Attributes:
        vectors: float32 [questions, dimension], unit length.
        quality: float32 [questions, arms].
        count: of neighbours.
    """

    vectors: Vectors
    quality: Vectors
    count: int
    name: ClassVar[str] = "neighbours"
    words: ClassVar[Sequence[str]] = ()

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def arrays(self) -> Arrays:
        count = np.array([self.count], dtype=np.float32)
        return {"vectors": self.vectors, "quality": self.quality, "count": count}

    @classmethod
    def opened(cls, arrays: Arrays, words: Sequence[str], arms: int) -> "NeighboursEstimator":
        """See `Estimator`."""
        found = named(arrays, {"vectors": (-1, -1), "quality": (-1, arms), "count": (1,)})
        vectors, quality, count = found["vectors"], found["quality"], int(found["count"][0])
        if len(vectors) != len(quality) or count < 1 or not len(vectors) or words:
            raise ValueError("neighbours need as many vectors as qualities, a count, and no words")
        return cls(vectors, quality, count)

    def probabilities(self, questions: Sequence[str], vectors: Vectors | None) -> Array:
        """See `Estimator`."""
        assert vectors is not None
        near, weights = self._nearest(vectors)
        sums = (self.quality[near] * weights[:, :, None]).sum(axis=1) + self.quality.mean(axis=0)
        return np.asarray(np.clip(sums / (weights.sum(axis=1, keepdims=True) + 1), 0, 1), dtype=np.float64)

    def reasons(self, question: str, vector: Vectors | None) -> list[str]:
        """See `Estimator`."""
        assert vector is not None
        near, _ = self._nearest(vector[None])
        right = self.quality[near[0]].sum(axis=0)
        return [f"right on {each:.3g} of the {near.shape[1]} nearest questions" for each in right]

    def _nearest(self, vectors: Vectors) -> tuple["np.ndarray[tuple[int, int], np.dtype[np.intp]]", Vectors]:
        """Numbers and weights [questions, count] of the nearest, which are their cosines."""
        cosines = vectors @ self.vectors.T
        near = np.argsort(-cosines, axis=1, kind="stable")[:, : self.count]
        return near, np.maximum(np.take_along_axis(cosines, near, axis=1), 0)


@dataclass(frozen=True)
class NeighboursLearner:
    count: int

    @property
    def name(self) -> str:
        return f"{self.count} nearest questions"

    def can_learn(self, outcomes: Outcomes) -> bool:
        """See `Learner`."""
        return outcomes.vectors is not None

    def learn(self, outcomes: Outcomes, seed: int) -> NeighboursEstimator:
        """See `Learner`."""
        assert outcomes.vectors is not None
        return NeighboursEstimator(outcomes.vectors, outcomes.quality.astype(np.float32), self.count)
