"""The indexer deployment: files that came over the API, into the collections that are served and out of them again.

A file that a client wants there (attaching.py) is chunked as ingestion does it (uploaded_chunks.py), embedded by the
application's embedder, and written while no other writer is there (upload_writer.py). Tenants take turns, and small
files do not wait for a large one (indexing_queue.py). Collections are made and dropped here, too
(collection_making.py). What is to be done is on the disk: a replica that was killed goes on with it, but for a file
that it was just reading.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from ray.serve.handle import DeploymentHandle

from plait.documents.reader import DocumentReader
from plait.documents.uploads import attachments, made_collections, uploaded_files
from plait.documents.uploads.attachments import Attachment, AttachmentOptions
from plait.documents.uploads.made_collections import MadeCollection
from plait.documents.uploads.reach import EVERYTHING, Reach
from plait.documents.uploads.uploaded_files import UploadedFile
from plait.errors import Conflict, Forbidden, NotFound, PlaitError, find_plait_error
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.index.stores.store import Store
from plait.observability import metrics, tracing
from plait.serve.deployments.attaching import as_the_model_reads, check_files, note
from plait.serve.deployments.collection_making import CollectionMaking
from plait.serve.deployments.expiry import Expiry
from plait.serve.deployments.indexing_queue import IndexingQueue
from plait.serve.deployments.turns import Key, key_of
from plait.serve.deployments.upload_writer import UploadWriter
from plait.serve.deployments.uploaded_chunks import chunks_of
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.request_log import log_expected_errors_in_one_line
from plait.serve.messages.served_collections import ServedCollections

_T = TypeVar("_T")
_log = logging.getLogger("ray.serve")


class Indexer:
    """What is written to collections from within the application; one replica of it."""

    # Serve awaits it, and so it has the loop that its tasks run in.
    async def __init__(self, arguments: RetrievalArguments, embedder: DeploymentHandle) -> None:  # type: ignore[misc]
        log_expected_errors_in_one_line()
        tracing.configure("indexer")
        self._start(arguments, connect_store(), embedder)
        await asyncio.to_thread(uploaded_files.tidy)
        await asyncio.to_thread(made_collections.tidy)
        for unfinished in (a for name in self._served.names() for a in reversed(attachments.of_collection(name))):
            if unfinished.status == "in_progress":
                await self._take_up_again(unfinished)
        self._queue.start()
        self._expiry = Expiry(self._drop, lambda file_id: self.detach_and_delete(file_id, EVERYTHING))
        self._expiry.start()

    def _start(self, arguments: RetrievalArguments, store: Store, embedder: DeploymentHandle) -> None:
        self._served, self._tenant = ServedCollections(arguments.collections), arguments.tenant
        self._making = CollectionMaking(store, arguments.collection, arguments.max_made_collections)
        self._limits, self._store, self._embedder = arguments.limits, store, embedder
        self._writer = UploadWriter(store, embedder)
        self._queue = IndexingQueue(self._index, self._limits)
        self._being_read: dict[Key, Attachment] = {}
        self._writing = asyncio.Lock()
        self._unfinished: set[asyncio.Task[Any]] = set()

    def __del__(self) -> None:
        """Serve calls it before it ends a replica in good order: what is being read then is not at fault."""
        for attachment in list(self._being_read.values()):
            attachments.note(attachment)

    def attached(self, collection: str, tenant: str | None) -> list[Attachment]:
        """The files of a collection, newest first."""
        return attachments.of_collection(collection, tenant or self._tenant)

    def attachment(self, collection: str, file_id: str, tenant: str | None) -> Attachment:
        """How it stands with a file.

        Raises:
            NotFound: when it is not in the collection.
        """
        return attachments.find(file_id, collection, tenant or self._tenant)

    async def make_collection(self, new: MadeCollection, wanted: Mapping[str, AttachmentOptions], reach: Reach) -> None:
        """Make a collection as the first one of the configuration is, and put files into it.

        Raises:
            Conflict: when no more may be made, or an ingestion is writing that the store takes no other writer beside.
            NotFound, InvalidInput, InsufficientStorage: as `attach`; then there is no collection.
        """
        check_files(wanted, reach)
        making = self._to_its_end(self._make(new, wanted, reach))
        try:
            await asyncio.shield(making)
        except asyncio.CancelledError:  # who asked has left, and will not hear of it

            async def unmake() -> None:
                await asyncio.wait([making])
                await self.drop_collection(new.id)

            self._to_its_end(unmake())
            raise

    async def _make(self, new: MadeCollection, wanted: Mapping[str, AttachmentOptions], reach: Reach) -> None:
        wanted = await as_the_model_reads(wanted, self._embedder)
        await asyncio.to_thread(self._making.make, new.id, self._tenant)
        try:
            attached = note(new.id, reach.tenant or self._tenant, wanted)
            made_collections.write(new)  # last: what is half made is not there
        except Exception:
            await self.drop_collection(new.id)
            raise
        await self._wait_for_turns(attached)

    def _to_its_end(self, work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        """Let work go on, whoever leaves."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def drop_collection(self, name: str) -> None:
        """Delete a collection that a client made. Its files stay."""
        made_collections.forget(name)
        try:
            await self._drop(name)
        except PlaitError as error:  # it is gone for everybody, and what is left is dropped later
            _log.warning("what is left of '%s' is dropped later: %s", name, error)

    async def _drop(self, name: str) -> None:
        for attachment in attachments.of_collection(name):
            await self._queue.drop(attachment)
            attachments.drop(attachment)
        await asyncio.to_thread(self._making.drop, name, self._tenant)
        made_collections.bury(name)

    # A plain method would run in a thread, and the queue is the loop's.
    async def attach(
        self, collection: str, wanted: Mapping[str, AttachmentOptions], reach: Reach, batch: str | None = None
    ) -> list[Attachment]:
        """Put files into a collection; each is searchable when its state is `completed`.

        Chunks get no longer than the embedding model reads, whatever size is wanted.

        Raises:
            NotFound: when there is no such file or collection; then none is put there.
            InvalidInput: for a file of an unknown format, or one whose state cannot be read; likewise.
            InsufficientStorage: when the disk is full; likewise.
        """
        check_files(wanted, reach)
        wanted = await as_the_model_reads(wanted, self._embedder)
        self._served.check(collection)  # it may have been deleted meanwhile
        made_collections.touch(collection)
        attached = note(collection, reach.tenant or self._tenant, wanted, batch)
        await asyncio.shield(self._to_its_end(self._wait_for_turns(attached)))
        return attached

    async def _wait_for_turns(self, attached: Sequence[Attachment]) -> None:
        for new in attached:
            await self._queue.drop(new)
            await self._queue.put(new)

    async def detach(self, collection: str, file_id: str, tenant: str | None) -> None:
        """Take a file out of a collection; the file itself stays.

        Raises:
            NotFound: when it is not in the collection.
        """
        await self._detach(self.attachment(collection, file_id, tenant))

    async def _detach(self, attachment: Attachment) -> None:
        await self._queue.drop(attachment)
        async with self._writing:
            await asyncio.to_thread(
                self._writer.delete, attachment.collection, attachment.tenant, [_source_of(attachment)]
            )
            attachments.drop(attachment)

    async def cancel(self, collection: str, batch: str, tenant: str | None) -> None:
        """Let the files of a batch that still wait, or are in work, be in the collection no more; others stay."""
        for waiting in _waiting(self.attached(collection, tenant), batch):
            await self._queue.drop(waiting)
        async with self._writing:
            left = _waiting(self.attached(collection, tenant), batch)  # some were completed meanwhile
            if left:
                sources = [_source_of(attachment) for attachment in left]
                await asyncio.to_thread(self._writer.delete, collection, left[0].tenant, sources)
            for attachment in left:
                attachments.note(attachment, status="cancelled")

    def _places(self, file: UploadedFile) -> list[tuple[str, str]]:
        """The collections and tenants that a file may have been put into here."""
        tenants = dict.fromkeys((self._tenant, file.of.tenant or self._tenant))
        return [(collection, tenant) for collection in self._served.names() for tenant in tenants]

    async def detach_and_delete(self, file_id: str, reach: Reach) -> None:
        """Take a file out of the collections that are served, and forget it.

        Raises:
            NotFound: when there is no such file.
            Forbidden: when a collection or a tenant that is out of reach holds it; then nothing is done.
            Conflict: when a collection holds it that is not served.
        """
        places = self._places(uploaded_files.file(file_id, reach))
        held = attachments.of_file(file_id, places)
        if not all(reach.holds(attachment.of) for attachment in held):
            raise Forbidden(f"File '{file_id}' is also where this key may not change anything.", "Detach it instead.")
        for attachment in held:
            if self._served.holds(attachment.collection):
                await self._detach(attachment)
        # One whose state cannot be read is named after no collection that is served here, and may keep nobody.
        if any(left.collection for left in attachments.of_file(file_id, places)):
            raise Conflict(f"File '{file_id}' is in another collection.", "Delete it there first.")
        uploaded_files.delete(file_id)

    # ------------------------------------------------------------ the work

    async def _take_up_again(self, unfinished: Attachment) -> None:
        """Let a file wait that a killed replica had not finished, unless the replica ended while it read this file."""
        if unfinished.is_being_read:
            attachments.note(
                unfinished,
                status="failed",
                error="The server ended while it read this file, so the file is not tried again by itself. "
                "Attach it again to try it once more.",
            )
            metrics.DOCUMENTS.labels(collection=metrics.collection_label(unfinished.collection), outcome="failed").inc()
            return
        with suppress(NotFound):  # deleted this very moment
            await self._queue.put(unfinished)

    async def _index(self, to_do: Attachment, reader: DocumentReader) -> None:
        """Bring one file into a collection, and note how it ended."""
        collection, label = to_do.collection, metrics.collection_label(to_do.collection)
        try:
            file = uploaded_files.file(to_do.file_id)
            attached = attachments.find(to_do.file_id, collection, to_do.tenant)
        except NotFound:  # taken out again before its turn
            return
        is_left_off = threading.Event()
        try:
            chunk_count = await self._bring(file, attached, reader, is_left_off)
        except asyncio.CancelledError:
            is_left_off.set()
            reader.stop()
            raise
        except Exception as error:
            reason = str(find_plait_error(error) or "Something went wrong inside the server. Its log says what.")
            attachments.note(attached, status="failed", error=reason)
            metrics.DOCUMENTS.labels(collection=label, outcome="failed").inc()
            raise
        attachments.note(attached, status="completed", chunks=chunk_count, indexed_bytes=file.bytes)
        metrics.DOCUMENTS.labels(collection=label, outcome="written").inc()
        metrics.CHUNKS.labels(collection=label).inc(chunk_count)

    async def _bring(
        self, file: UploadedFile, attached: Attachment, reader: DocumentReader, is_left_off: threading.Event
    ) -> int:
        """Chunk, embed and write one file; anew when the collection's model or chunk settings changed in between."""
        collection, tenant = attached.collection, attached.tenant
        while True:
            index = await asyncio.to_thread(Index.open, collection, self._store)
            with self._marked(attached):
                chunks = await asyncio.to_thread(chunks_of, file, index, tenant, self._limits, reader, is_left_off)
            table = await self._writer.with_vectors(chunks, index)
            async with self._writing:
                is_written = await asyncio.to_thread(self._writer.write, file, tenant, table, index, is_left_off)
            if is_written:
                return len(chunks)

    @contextmanager
    def _marked(self, attached: Attachment) -> Iterator[None]:
        """Note that a file is being read: should that end this replica, the next one knows which file it was."""
        marked = attached.model_copy(update={"is_being_read": True})
        if not attachments.replace(attached, marked):
            raise NotFound(f"File '{attached.file_id}' was attached anew or taken out.")
        self._being_read[key_of(attached)] = marked
        try:
            yield
        finally:
            del self._being_read[key_of(attached)]
            attachments.replace(marked, attached)

    async def is_ready(self) -> bool:
        """Answers when it takes files."""
        return True


def _waiting(files: Sequence[Attachment], batch: str) -> list[Attachment]:
    return [file for file in files if file.batch == batch and file.status == "in_progress"]


def _source_of(attachment: Attachment) -> str:
    """The name of its document in the index."""
    return uploaded_files.file(attachment.file_id).source
