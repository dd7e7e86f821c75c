"""Files that come over the API, into an index in memory, by the deployment's own code."""

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_settings import changed_settings
from direct_indexer import DirectIndexer
from tokenizers import Tokenizer

from plait.documents.chunker import settings_hash
from plait.documents.load import cut_by
from plait.documents.read import DocumentFile, Found, with_uploaded
from plait.documents.uploads import attachments, made_collections, multipart, uploaded_files
from plait.documents.uploads.attachments import Attachment, AttachmentOptions, ChunkSize
from plait.documents.uploads.made_collections import MadeCollection
from plait.documents.uploads.reach import EVERYTHING
from plait.documents.uploads.uploaded_files import UploadedFile
from plait.errors import Conflict, DataError, NotFound
from plait.index.collection import Index, list_collections
from plait.index.search import Search
from plait.index.stores.memory import MemoryStore
from plait.index.stores.store import Store
from plait.jobs.ingest.plan import make_plan
from plait.models.embedding import Embedding
from plait.models.encoders.load import load_embedding
from plait.recipes import ChunkConfig, Chunking, IngestRecipe
from plait.serve.deployments import attaching
from plait.serve.deployments.expiry import Expiry

TEXT = "# Herons\n\n" + "The heron stands in the water and waits for a fish. " * 20
SHORT = Chunking(chunk=ChunkConfig(max_tokens=24))


class Direct(DirectIndexer):
    def __init__(self, collection: str, store: Store, model: Embedding) -> None:
        super().__init__(collection, store, model)
        self.queue.start()

    async def bring(self, file: UploadedFile, size: ChunkSize | None = None, collection: str = "uploads") -> Attachment:
        """Attach a file and wait for its end."""
        await self.attach(collection, {file.id: AttachmentOptions(chunk_size=size)}, EVERYTHING)
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


# ------------------------------------------------------------ sizes of its own


def longest_of(index: Index, source: str, embedder: Path) -> int:
    """Tokens of the longest chunk of a document."""
    tokenizer = Tokenizer.from_file(str(embedder / "tokenizer.json"))
    texts = [chunk.text for chunk in index.document("default", source)]
    return max(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)


async def test_a_file_may_have_a_chunk_size_of_its_own_which_ingestion_keeps(store: Store, tiny_embedder: Path) -> None:
    indexer, index = uploads_to(store, tiny_embedder)
    small, large = sent(TEXT), sent(TEXT)
    await indexer.bring(small, ChunkSize(max_tokens=16, overlap_tokens=0))
    kept = await indexer.bring(large, ChunkSize(max_tokens=100, overlap_tokens=50))
    assert kept.chunk_size == ChunkSize(max_tokens=64, overlap_tokens=32)  # no more than the model reads
    assert longest_of(index, small.source, tiny_embedder) <= 16
    assert 24 < longest_of(index, large.source, tiny_embedder) <= 64

    recipe = IngestRecipe(
        sources=["unused"], collection=index.name, embedding={"model": index.embedding_model}, chunk=SHORT.chunk
    )
    found = with_uploaded(Found((), {}), index.name, "default")
    version = settings_hash(recipe.chunk, recipe.embedding.made_with)
    plan = make_plan(recipe, found, index.document_states("default"), version)
    assert {document.source for document in plan.unchanged} == {small.source, large.source}
    assert cut_by(DocumentFile(large.source, str(large.path)), recipe).max_tokens == 64


# ------------------------------------------------------------ collections that clients make


def wanted(**fields: Any) -> MadeCollection:
    return MadeCollection(id=made_collections.new_id(), created_at=int(time.time()), name="birds", **fields)


async def test_a_collection_is_made_like_the_first_one_and_dropped_with_all_that_is_in_it(
    store: Store, tiny_embedder: Path
) -> None:
    indexer, first = uploads_to(store, tiny_embedder)
    new, file = wanted(tenant="acme"), sent(TEXT)
    await indexer.make_collection(new, {}, EVERYTHING)
    assert made_collections.find(new.id) is not None
    assert (await indexer.bring(file, collection=new.id)).status == "completed"
    index = Index.open(new.id, store)
    assert (index.vectors, index.chunking) == (first.vectors, first.chunking)
    assert set(index.document_states("default")) == {file.source}
    assert first.document_states("default") == {}

    await indexer.drop_collection(new.id)
    assert new.id not in list_collections(store)
    assert (attachments.of_file(file.id), made_collections.made(), made_collections.gone()) == ([], [], [])
    with pytest.raises(NotFound, match="no collection"):
        await indexer.attach(new.id, {file.id: AttachmentOptions()}, EVERYTHING)
    assert uploaded_files.file(file.id) == file


async def test_a_collection_whose_files_are_none_is_not_made_nor_one_too_many(
    store: Store, tiny_embedder: Path
) -> None:
    indexer, _ = uploads_to(store, tiny_embedder)
    with pytest.raises(NotFound, match="no file"):
        await indexer.make_collection(wanted(), {"file-1": AttachmentOptions()}, EVERYTHING)
    assert list_collections(store) == ["uploads"]
    for _ in range(2):
        await indexer.make_collection(wanted(), {}, EVERYTHING)
    with pytest.raises(Conflict, match="There are 2 collections already"):
        await indexer.make_collection(wanted(), {}, EVERYTHING)


async def test_a_collection_is_not_there_when_its_client_leaves_while_it_is_made(
    store: Store, tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on = threading.Event(), threading.Event()
    create = store.create

    def slow(*arguments: Any) -> Any:
        begun.set()
        may_go_on.wait(20)
        return create(*arguments)

    indexer, _ = uploads_to(store, tiny_embedder)
    monkeypatch.setattr(store, "create", slow)
    new, file = wanted(), sent(TEXT)
    making = asyncio.create_task(indexer.make_collection(new, {file.id: AttachmentOptions()}, EVERYTHING))
    await asyncio.to_thread(begun.wait, 20)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert made_collections.made() == []
    may_go_on.set()
    while indexer._unfinished:
        await asyncio.sleep(0.01)
    assert (list_collections(store), attachments.of_file(file.id)) == (["uploads"], [])
    assert (made_collections.made(), made_collections.begun(), made_collections.gone()) == ([], [], [])


async def test_what_a_killed_server_half_made_is_forgotten_and_its_index_dropped(
    store: Store, tiny_embedder: Path
) -> None:
    indexer, _ = uploads_to(store, tiny_embedder)
    new, file = wanted(), sent(TEXT)
    await asyncio.to_thread(indexer._making.make, new.id, "default")
    attaching.note(new.id, "default", {file.id: AttachmentOptions()})
    with pytest.raises(NotFound):  # as it stands there, nobody is served it
        await indexer.attach(new.id, {file.id: AttachmentOptions()}, EVERYTHING)

    made_collections.tidy()  # as the next server does when it starts
    await Expiry(indexer._drop, lambda file_id: indexer.detach_and_delete(file_id, EVERYTHING)).sweep()
    assert (list_collections(store), attachments.of_file(file.id)) == (["uploads"], [])
    assert (made_collections.made(), made_collections.begun(), made_collections.gone()) == ([], [], [])


async def test_what_has_expired_is_deleted_with_all_that_is_in_it(
    store: Store, tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexer, index = uploads_to(store, tiny_embedder)
    brief, kept = wanted(expires_after_days=1), wanted()
    for new in (brief, kept):
        await indexer.make_collection(new, {}, EVERYTHING)
    short_lived = uploaded_files.save("a.md", "assistants", io.BytesIO(b"text"), expires_after_s=3_600)
    file = sent(TEXT)
    for one in (short_lived, file):
        await indexer.bring(one)
    upload = multipart.begin("b.md", "assistants", 4)
    expiry = Expiry(indexer._drop, lambda file_id: indexer.detach_and_delete(file_id, EVERYTHING))

    await expiry.sweep()
    assert len(made_collections.made()) == len(uploaded_files.files()) == 2
    later = time.time() + 25 * 3_600
    monkeypatch.setattr("time.time", lambda: later)
    await expiry.sweep()
    assert [made.id for made in made_collections.made()] == [kept.id]
    assert list_collections(store) == sorted(["uploads", kept.id])
    assert [one.id for one in uploaded_files.files()] == [file.id]
    assert set(index.document_states("default")) == {file.source}
    with pytest.raises(NotFound):
        multipart.find(upload.id)


async def test_a_cancelled_batch_leaves_what_was_indexed_and_nothing_else(store: Store, tiny_embedder: Path) -> None:
    indexer, index = uploads_to(store, tiny_embedder)
    files = [sent(TEXT) for _ in range(3)]
    await indexer.attach("uploads", {file.id: AttachmentOptions() for file in files}, EVERYTHING, "vsfb_1")
    while indexer.attachment("uploads", files[0].id, None).status == "in_progress":
        await asyncio.sleep(0.02)
    await indexer.cancel("uploads", "vsfb_1", None)
    status = {file.source: indexer.attachment("uploads", file.id, None).status for file in files}
    assert set(status.values()) <= {"completed", "cancelled"}
    assert status[files[0].source] == "completed"
    await asyncio.sleep(0.2)
    assert set(index.document_states("default")) == {s for s, now in status.items() if now == "completed"}
