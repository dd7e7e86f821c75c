"""`learned`: the arm whose probable answer is worth the most, less what its tokens cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from plait.errors import InvalidInput
from plait.models.vectors import Prompts, VectorKind
from plait.routing.estimators import ESTIMATORS
from plait.routing.estimators.estimator import Estimator
from plait.routing.policy import Arrays, PolicyConfig, RankedArm, RoutedArm, RouteRequest
from plait.routing.trade import best_first
from plait.section import Section


class VectorsConfig(Section):
    """The kind of embedding that questions must have."""

    model: str
    dimension: int = Field(ge=1)
    query_prompt: str = ""
    passage_prompt: str = ""

    @property
    def kind(self) -> VectorKind:
        return VectorKind(self.model, self.dimension, Prompts(self.query_prompt, self.passage_prompt))


class LearnedConfig(PolicyConfig):
    kind: Literal["learned"] = "learned"
    arms: tuple[RoutedArm, ...] = Field(min_length=2, max_length=1000, description="In the order of the arrays.")
    points: float = Field(ge=0, description="What 1,000 tokens cost, in points of accuracy.")
    estimator: Literal["neighbours", "logistic"] = Field(description="What was learned.")
    words: tuple[str, ...] = Field((), description="The estimator's words, in the order of the arrays.")
    vectors: VectorsConfig | None = Field(None, description="Of the questions; null: the estimator needs none.")

    def open(self, arrays: Arrays) -> "LearnedPolicy":
        estimator = ESTIMATORS[self.estimator].opened(arrays, self.words, len(self.arms))
        if estimator.dimension != (self.vectors.dimension if self.vectors else 0):
            raise ValueError("the arrays and the policy have vectors of different dimensions")
        if any(arm.tokens is None for arm in self.arms):
            raise ValueError("a learned policy needs the tokens of all its arms")
        return LearnedPolicy(self, estimator)


@dataclass(frozen=True)
class LearnedPolicy:
    """Arms by the probability that they are right, and the tokens that they take."""

    config: LearnedConfig
    estimator: Estimator

    @property
    def arms(self) -> Sequence[RoutedArm]:
        return self.config.arms

    @property
    def vectors(self) -> VectorKind | None:
        return self.config.vectors.kind if self.config.vectors else None

    def rank(self, request: RouteRequest) -> list[RankedArm]:
        """See `Policy`."""
        vector = request.embedding if self.estimator.dimension else None
        if self.config.vectors and (vector is None or vector.shape != (self.estimator.dimension,)):
            raise InvalidInput(f"This policy needs the question's embedding by {self.config.vectors.kind}.")
        vectors = None if vector is None else vector[None]
        probabilities = self.estimator.probabilities([request.question], vectors)[0]
        reasons = self.estimator.reasons(request.question, vector)
        tokens = np.array([arm.tokens for arm in self.arms], dtype=np.float64)
        return [
            RankedArm(self.arms[arm], float(probabilities[arm]), f"{probabilities[arm]:.0%} right: {reasons[arm]}.")
            for arm in best_first(probabilities, tokens, self.config.points)
            if request.may_use(self.arms[arm])
        ]
