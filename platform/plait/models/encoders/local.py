"""An embedding model that this machine computes: prompts before texts, vectors cut to size and brought to unit length.

An encoder computes vectors of texts as they stand. What all encoders have in common beyond that is here.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from plait.errors import InvalidInput
from plait.models.embedding import EmbeddingOptions
from plait.models.encoders.tokens import TextTokens
from plait.models.vectors import Prompts, Vectors

_BATCH_SIZE = 32


class Encoder(Protocol):
    """What computes vectors, of any length; `prompt` is put before each text."""

    dimension: int
    max_tokens: int

    @property
    def text_tokens(self) -> TextTokens | None: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]: ...
    def encode(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> Vectors: ...
    def encode_tokens(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> list[Vectors]: ...


class LocalEmbedding:
    """An `Embedding` and `TokenEmbedding` by an encoder.

    Raises:
        InvalidInput: when the encoder makes fewer dimensions than the options ask for.
    """

    def __init__(self, encoder: Encoder, options: EmbeddingOptions) -> None:
        self.encoder = encoder
        self.name = options.model
        self.prompts = Prompts.of_model(options.folder) if options.prompts is None else options.prompts
        if options.dimensions is not None and options.dimensions > encoder.dimension:
            raise InvalidInput(
                f"'{self.name}' makes vectors of {encoder.dimension} dimensions, not of {options.dimensions}.",
                "Lower embedding.dimensions, or leave it out.",
            )
        self.dimension = options.dimensions or encoder.dimension
        self.max_tokens = encoder.max_tokens
        self.text_tokens = encoder.text_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, also of one that is longer than the model reads."""
        return self.encoder.count_tokens(texts)

    def encode_passages(self, texts: Sequence[str], batch_size: int = _BATCH_SIZE) -> Vectors:
        """Vectors of texts to be found: float32 [n, dimension], unit length. Batches are formed by length."""
        return self._unit(texts, self.prompts.passage, batch_size, is_query=False)

    def encode_queries(self, texts: Sequence[str], batch_size: int = _BATCH_SIZE) -> Vectors:
        """Vectors of texts to search for: float32 [n, dimension], unit length."""
        return self._unit(texts, self.prompts.query, batch_size, is_query=True)

    def encode_passage_tokens(self, texts: Sequence[str], batch_size: int = _BATCH_SIZE) -> list[Vectors]:
        """Vectors of the tokens of texts to be found: float32 [tokens, width] each, unit length."""
        tokens = self.encoder.encode_tokens(texts, self.prompts.passage, batch_size, is_query=False)
        return [_normalised(of_text) for of_text in tokens]

    def encode_query_tokens(self, texts: Sequence[str], batch_size: int = _BATCH_SIZE) -> list[Vectors]:
        """Vectors of the tokens of texts to search for: float32 [tokens, width] each, unit length."""
        tokens = self.encoder.encode_tokens(texts, self.prompts.query, batch_size, is_query=True)
        return [_normalised(of_text) for of_text in tokens]

    def _unit(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        # Normalised in float32, so that lengths are 1 to seven digits.
        return _normalised(self.encoder.encode(texts, prompt, batch_size, is_query)[:, : self.dimension])


def _normalised(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, 1e-12)
    return unit
