"""What the embedder is asked, and what it answers to texts."""

from dataclasses import dataclass
from typing import Literal

from plait.models.vectors import Vectors

InputType = Literal["passage", "query"]
Input = str | tuple[int, ...]
"""A text, or the tokens that the embedding model's tokenizer makes of one."""


@dataclass(frozen=True)
class Embedded:
    """`vectors`: float32 [n, dimension] of unit length; `tokens`: that were read of all texts together."""

    vectors: Vectors
    tokens: int
