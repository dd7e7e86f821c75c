"""`Policy`: says which arm should answer a question, how likely it is right, what it costs, and why.

In: a question, its embedding where there is one, and what is known of the request. Out: arms, the best first. A policy
asks nobody and checks no access: whoever routes by it checks afterwards what the caller may use.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import AfterValidator, Field

from plait.errors import InvalidInput
from plait.model_ids import ModelId
from plait.models.vectors import VectorKind, Vectors
from plait.section import Section
from plait.variants import Variants

Arrays = Mapping[str, np.ndarray[Any, np.dtype[Any]]]
"""What a policy remembers in numbers, by name: `policy.safetensors` of its folder."""


def _model_of_an_arm(text: str) -> str:
    try:
        model = ModelId.parse(text)
    except InvalidInput as error:
        raise ValueError(error.what) from None
    if model.is_auto:
        raise ValueError("an arm cannot be auto, which asks the policy again")
    return text


ArmModel = Annotated[str, AfterValidator(_model_of_an_arm)]
"""The model id that a server answers as an arm by: `base`, `support:3`, `rag/support:3`."""


class RoutedArm(Section):
    """An arm that a policy may choose."""

    model: ArmModel = Field(description="The model id to ask a server for.")
    name: str = Field(description="What the comparison calls it.")
    accuracy: float | None = Field(None, ge=0, le=1, description="Share of its answers that were right.")
    tokens: float | None = Field(None, ge=0, description="Read and written for an answer, on average.")


@dataclass(frozen=True)
class RouteRequest:
    """A question, and what is known of who asks it.

    Attributes:
        embedding: of the question as a query, float32 [dimension], unit length; None: it has not been computed.
        collection: that would be searched. Empty, as language and key: not known.
        language: of the question as whoever asks says it, as in `de` or `de-CH`.
        key: the name of the API key.
        usable: model ids that the caller may use; None: all.
    """

    question: str
    embedding: Vectors | None = None
    collection: str = ""
    language: str = ""
    key: str = ""
    usable: frozenset[str] | None = None

    def may_use(self, arm: RoutedArm) -> bool:
        return self.usable is None or arm.model in self.usable


@dataclass(frozen=True)
class RankedArm:
    """An arm as a policy sees it for one question.

    Attributes:
        probability: of a right answer, in [0, 1]; None: the policy does not know.
        reason: one sentence.
    """

    arm: RoutedArm
    probability: float | None
    reason: str


class Policy(Protocol):
    """Says which arm should answer. Two threads may ask it at once."""

    @property
    def arms(self) -> Sequence[RoutedArm]:
        """All arms that it may choose."""

    @property
    def vectors(self) -> VectorKind | None:
        """The kind of embedding that a request must have; None: it needs none."""

    def rank(self, request: RouteRequest) -> list[RankedArm]:
        """The arms that the caller may use, the best first; none where there is none.

        Raises:
            InvalidInput: when the request lacks the embedding that the policy needs.
        """


class PolicyConfig(Section, ABC):
    """What a policy's file says of it. Each kind has a subclass, whose Literal `kind` is its name."""

    kind: str

    @abstractmethod
    def open(self, arrays: Arrays) -> Policy:
        """The policy.

        Raises:
            ValueError: one line, when the arrays are not those of this policy.
        """


POLICIES: Variants[PolicyConfig] = Variants("kind", default="fixed", registered_in="plait.routing.policies")
"""Kinds of policy. `plait.routing.policies` registers those of Plait."""
