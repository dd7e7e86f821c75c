"""What the embedder answers: the vectors of texts and of questions."""

from dataclasses import dataclass
from typing import Literal

from plait.models.vectors import Vectors

InputType = Literal["passage", "query"]


@dataclass(frozen=True)
class Embedded:
    """`vectors`: float32 [n, dimension] of unit length; `tokens`: of all texts together."""

    vectors: Vectors
    tokens: int


@dataclass(frozen=True)
class EmbeddedQuestions:
    """`vectors`: float32 [n, dimension] of unit length; `are_cut`: of which question not all was read."""

    vectors: Vectors
    are_cut: tuple[bool, ...]
