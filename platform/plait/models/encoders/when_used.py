"""An embedding model that is loaded when it is first asked for something: most runs that could use one do not."""

from collections.abc import Sequence
from functools import cached_property

from plait.models.embedding import Embedding
from plait.models.encoders.load import load_embedding
from plait.models.vectors import Prompts, Vectors


class LoadedWhenUsed:
    """An `Embedding` by its model source; what is wrong with it is said when it is first used."""

    def __init__(self, model: str) -> None:
        self.name = model

    @property
    def dimension(self) -> int:
        return self._loaded.dimension

    @property
    def max_tokens(self) -> int:
        return self._loaded.max_tokens

    @property
    def prompts(self) -> Prompts:
        return self._loaded.prompts

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._loaded.count_tokens(texts)

    def encode_passages(self, texts: Sequence[str], batch_size: int | None = None) -> Vectors:
        return self._loaded.encode_passages(texts, **({} if batch_size is None else {"batch_size": batch_size}))

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._loaded.encode_queries(texts)

    @cached_property
    def _loaded(self) -> Embedding:
        return load_embedding(self.name)
