"""Files that come over the API, into an index in memory, by the deployment's own code."""

import asyncio
import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from changed_settings import changed_settings
from tokenizers import Tokenizer

from plait.documents.uploads import uploaded_files
from plait.documents.uploads.attachments import Attachment
from plait.documents.uploads.reach import EVERYTHING
from plait.documents.uploads.uploaded_files import UploadedFile
from plait.errors import DataError
from plait.index.collection import Index
from plait.index.search import Search
from plait.index.stores.memory import MemoryStore
from plait.index.stores.store import Store
from plait.models.embedding import Embedding
from plait.models.encoders.load import load_embedding
from plait.models.vectors import VectorKind, Vectors
from plait.recipes import ChunkConfig, Chunking, DocumentLimits
from plait.serve.deployments.indexer import Indexer

TEXT = "# Herons\n\n" + "The heron stands in the water and waits for a fish. " * 20
SHORT = Chunking(chunk=ChunkConfig(max_tokens=24))


class Direct(Indexer):
    """The deployment without Serve: its embedder is a model of this process."""

    def __init__(self, collection: str, store: Store, model: Embedding) -> None:
        self._collections, self._tenant = (collection,), "default"
        self._store, self._limits = store, DocumentLimits()

        async def embed(kind: VectorKind, texts: Sequence[str]) -> Vectors:
            return model.encode_passages(list(texts))

        self._embedder = cast(Any, SimpleNamespace(embed_passages=SimpleNamespace(remote=embed)))
        self._start()
        self._queue.start()

    async def bring(self, file: UploadedFile) -> Attachment:
        """Attach a file and wait for its end."""
        (collection,) = self._collections
        await self.attach(collection, {file.id: {}}, EVERYTHING)
        deadline = time.monotonic() + 120
        while (found := self.attachment(collection, file.id, None)).status == "in_progress":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in memory, in a home of its own."""
    with changed_settings(home=tmp_path):
        yield MemoryStore()


def uploads_to(store: Store, embedder: Path) -> tuple[Direct, Index]:
    """The deployment, and a collection that was made with SHORT."""
    model = load_embedding(str(embedder))
    index = Index.open_or_create(
        "uploads", store, embedding_model=model.name, dimension=model.dimension, chunking=SHORT
    )
    return Direct(index.name, store, model), index


def sent(text: str) -> UploadedFile:
    return uploaded_files.save("heron.md", "assistants", io.BytesIO(text.encode()))


async def test_an_uploaded_file_is_cut_as_its_collection_was(store: Store, tiny_embedder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_embedder / "tokenizer.json"))
    indexer, index = uploads_to(store, tiny_embedder)
    longest = []
    for chunking in (SHORT, Chunking(chunk=ChunkConfig(max_tokens=64))):
        index.note_chunking(chunking)
        assert Index.open(index.name, store).chunking == chunking
        file = sent(TEXT)
        assert (await indexer.bring(file)).status == "completed"
        (hits,) = index.search(Search(100), vectors=np.ones((1, index.dimension), np.float32))
        texts = [hit.passage.text for hit in hits if hit.passage.source == file.source]
        longest.append(max(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts))
    assert longest[0] <= 24 < longest[1] <= 64


async def test_a_file_that_comes_again_replaces_its_chunks_and_leaves_no_stale_one(
    store: Store, tiny_embedder: Path
) -> None:
    indexer, index = uploads_to(store, tiny_embedder)
    file = sent(TEXT)
    first = await indexer.bring(file)
    states = index.document_states("default")
    assert {source: state.chunks for source, state in states.items()} == {file.source: first.chunks}
    assert first.chunks > 3

    # With other content under its id, and with other settings of the collection.
    file.path.write_text("# Herons\n\nThe heron left.")
    changed = await indexer.bring(file)
    states = index.document_states("default")
    assert (states[file.source].chunks, states[file.source].is_whole) == (changed.chunks, True)
    assert changed.chunks == 1
    file.path.write_text(TEXT)
    await indexer.bring(file)
    index.note_chunking(Chunking())
    again = await indexer.bring(file)
    assert (states := index.document_states("default"))[file.source].is_whole
    assert states[file.source].chunks == again.chunks < first.chunks


async def test_a_file_that_the_index_refuses_fails_with_the_reason(
    store: Store, tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(index: Index, chunks: Any) -> None:
        raise DataError("The index refuses a value (too long).")

    indexer, index = uploads_to(store, tiny_embedder)
    monkeypatch.setattr(Index, "upsert", refuse)
    file = sent(TEXT)
    failed = await indexer.bring(file)
    assert failed.status == "failed"
    assert str(failed.error).startswith("'heron.md' cannot be indexed: The index refuses a value (too long). ")
    assert index.document_states("default") == {}
