"""The indexer without Serve: its embedder is a model of this process."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from plait.index.stores.store import Store
from plait.models.embedding import Embedding
from plait.models.vectors import VectorKind, Vectors
from plait.serve.deployments.indexer import Indexer
from plait.serve.messages.arguments import RetrievalArguments

READS_TOKENS = 64
"""What the embedder is said to read of a text."""


class DirectIndexer(Indexer):
    """Start its `queue` in the event loop that it is used in."""

    def __init__(self, collection: str, store: Store, model: Embedding) -> None:
        async def embed(kind: VectorKind, texts: Sequence[str]) -> Vectors:
            return model.encode_passages(list(texts))

        async def reads_tokens() -> int:
            return READS_TOKENS

        embedder = SimpleNamespace(
            embed_passages=SimpleNamespace(remote=embed), reads_tokens=SimpleNamespace(remote=reads_tokens)
        )
        self._start(RetrievalArguments(collection=collection, max_made_collections=2), store, cast(Any, embedder))

    @property
    def queue(self) -> Any:
        return self._queue
