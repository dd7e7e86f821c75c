"""An encoder that Plait does not have, in one file: counts of words under their hashes, for docs/extending.md."""

import zlib
from collections.abc import Sequence

import numpy as np

from plait.models.embedding import EmbeddingOptions
from plait.models.vectors import NO_PROMPTS, Vectors


class HashingEncoder:
    """Counts words in as many places as its name says (Weinberger et al. 2009, arXiv:0902.2206): `hash:64`."""

    prompts = NO_PROMPTS
    max_tokens = 1_000_000

    def __init__(self, name: str, dimension: int) -> None:
        self.name, self.dimension = name, dimension

    @classmethod
    def take(cls, options: EmbeddingOptions) -> "HashingEncoder | None":
        kind, _, size = options.model.partition(":")
        return cls(options.model, int(size)) if kind == "hash" else None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode_passages(self, texts: Sequence[str], batch_size: int = 0) -> Vectors:
        counts = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split() or [""]:
                counts[row, zlib.crc32(word.encode()) % self.dimension] += 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.encode_passages(texts)
