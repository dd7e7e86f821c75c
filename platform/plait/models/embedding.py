"""`Embedding`: what a model promises that turns texts into vectors, as queries or as passages.

In: texts. Out: float32 vectors of unit length. The folder `encoders` holds what computes them, and `encoders.load`
chooses among it. This module knows neither chunks nor an index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from plait.models.source import resolve_model
from plait.models.vectors import Prompts, VectorKind, Vectors

Dtype = Literal["auto", "float32", "bfloat16"]


class Embedding(Protocol):
    """An embedding model. Two threads may call it at once.

    Each text gets the prompt of its role before it, so that queries and passages always match. A text that is longer
    than `max_tokens` is cut.
    """

    @property
    def name(self) -> str:
        """The model source."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special tokens included."""

    @property
    def prompts(self) -> Prompts:
        """What is put before queries and before passages."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, also of a text that is longer than `max_tokens`."""

    def encode_passages(self, texts: Sequence[str], batch_size: int = ...) -> Vectors:
        """Vectors of texts to be found: float32 [n, dimension], unit length, in the order of the texts."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts to search for: float32 [n, dimension], unit length, in the order of the texts."""


@runtime_checkable
class TokenEmbedding(Protocol):
    """What an embedding model can do besides when it shows the vectors of single tokens."""

    def encode_query_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Vectors of the tokens of texts to search for: float32 [tokens, width] each, unit length."""

    def encode_passage_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Vectors of the tokens of texts to be found: float32 [tokens, width] each, unit length."""


@dataclass(frozen=True)
class EmbeddingOptions:
    """Which model is to embed, and how.

    Attributes:
        model: model source: hub id, folder, package:NAME or openai:NAME.
        dtype: `auto` is what this hardware computes fastest at a cosine of 0.999 to float32.
        prompts: put before texts; None: those of the model's own configuration.
        dimensions: keep the first so many, at unit length again; None: all. For models trained for it (Kusupati et al.
            2022, Matryoshka representation learning, arXiv:2205.13147).
        requests_per_minute: an endpoint gets no more; None: any number.
    """

    model: str
    dtype: Dtype = "auto"
    prompts: Prompts | None = None
    dimensions: int | None = None
    requests_per_minute: int | None = None

    @cached_property
    def folder(self) -> Path:
        """The folder of a model that this machine computes.

        Raises:
            ModelNotFound: when there is no such model.
        """
        return resolve_model(self.model)


def kind_of(embedding: Embedding) -> VectorKind:
    """What the vectors of a model are comparable with."""
    return VectorKind(embedding.name, embedding.dimension, embedding.prompts)
