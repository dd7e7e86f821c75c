"""What the embedder answers to texts."""

from dataclasses import dataclass
from typing import Literal

from plait.models.vectors import Vectors

InputType = Literal["passage", "query"]


@dataclass(frozen=True)
class Embedded:
    """`vectors`: float32 [n, dimension] of unit length; `tokens`: of all texts together."""

    vectors: Vectors
    tokens: int
