"""The indexer deployment: files that came over the API, into the collections that are served and out of them again.

A file is chunked as ingestion does it (uploaded_chunks.py), embedded by the application's embedder, and written while
no other writer is there. Tenants take turns, and small files do not wait for a large one (indexing_queue.py). What is
to be done is on the disk: a replica that was killed goes on with it, but for a file that it was just reading.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import pyarrow as pa
from ray.serve.handle import DeploymentHandle

from plait.documents.chunk import Chunk, chunk_table
from plait.documents.formats import FORMATS
from plait.documents.reader import DocumentReader
from plait.documents.uploads import attachments, uploaded_files
from plait.documents.uploads.attachments import Attachment, Attributes
from plait.documents.uploads.reach import Reach
from plait.documents.uploads.uploaded_files import UploadedFile
from plait.errors import Conflict, Forbidden, InsufficientStorage, InvalidInput, NotFound, find_plait_error
from plait.index.collection import Index
from plait.index.only_writer import only_writer
from plait.index.stores.connect import connect_store
from plait.index.writer import IndexWriter
from plait.observability import metrics, tracing
from plait.serve.deployments.indexing_queue import IndexingQueue
from plait.serve.deployments.turns import Key, key_of
from plait.serve.deployments.uploaded_chunks import chunks_of, refusal
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.request_log import log_expected_errors_in_one_line

_CHUNKS_AT_A_TIME = 32  # questions are embedded in between
_WAIT_FOR_WRITERS_S = 3600.0


class Indexer:
    """What is written to collections from within the application; one replica of it."""

    # Serve awaits it, and so it has the loop that its tasks run in.
    async def __init__(self, arguments: RetrievalArguments, embedder: DeploymentHandle) -> None:  # type: ignore[misc]
        self._limits = arguments.limits
        self._start()
        log_expected_errors_in_one_line()
        tracing.configure("indexer")
        self._collections, self._tenant = arguments.collections, arguments.tenant
        self._store, self._embedder = connect_store(), embedder
        await asyncio.to_thread(uploaded_files.tidy)
        for unfinished in (a for name in self._collections for a in reversed(attachments.of_collection(name))):
            if unfinished.status == "in_progress":
                await self._take_up_again(unfinished)
        self._queue.start()

    def _start(self) -> None:
        self._queue = IndexingQueue(self._index, self._limits)
        self._being_read: dict[Key, Attachment] = {}
        self._writing = asyncio.Lock()

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

    # A plain method would run in a thread, and the queue is the loop's.
    async def attach(
        self, collection: str, wanted: Mapping[str, Attributes], reach: Reach, batch: str | None = None
    ) -> list[Attachment]:
        """Put files into a collection, with attributes; each is searchable when its state is `completed`.

        Raises:
            NotFound: when there is no such file; then none is put there.
            InvalidInput: for a file of an unknown format, or one whose state cannot be read; likewise.
            InsufficientStorage: when the disk is full; likewise.
        """
        for file in [uploaded_files.file(file_id, reach) for file_id in wanted]:
            if file.error:
                raise InvalidInput(f"File '{file.id}' cannot be used.", file.error)
            if file.path.suffix.lower() not in FORMATS:
                raise InvalidInput(f"'{file.filename}' is of no known format.", f"Known: {', '.join(sorted(FORMATS))}.")
        attached = [
            Attachment(
                file_id=file_id,
                collection=collection,
                tenant=reach.tenant or self._tenant,
                created_at=int(time.time()),
                attributes=attributes,
                batch=batch,
            )
            for file_id, attributes in wanted.items()
        ]
        noted: list[Attachment] = []
        try:
            for new in attached:
                attachments.write(new)
                noted.append(new)
        except InsufficientStorage:
            for new in noted:
                attachments.drop(new)
            raise
        for new in attached:
            await self._queue.drop(new)
            await self._queue.put(new)
        return attached

    async def detach(self, collection: str, file_id: str, tenant: str | None) -> None:
        """Take a file out of a collection; the file itself stays.

        Raises:
            NotFound: when it is not in the collection.
        """
        await self._detach(self.attachment(collection, file_id, tenant))

    async def _detach(self, attachment: Attachment) -> None:
        await self._queue.drop(attachment)
        async with self._writing:
            await asyncio.to_thread(self._delete, attachment, uploaded_files.file(attachment.file_id).source)
            attachments.drop(attachment)

    def _places(self, file: UploadedFile) -> list[tuple[str, str]]:
        """The collections and tenants that a file may have been put into here."""
        tenants = dict.fromkeys((self._tenant, file.of.tenant or self._tenant))
        return [(collection, tenant) for collection in self._collections for tenant in tenants]

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
            if attachment.collection in self._collections:
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
            metrics.DOCUMENTS.labels(collection=unfinished.collection, outcome="failed").inc()
            return
        with suppress(NotFound):  # deleted this very moment
            await self._queue.put(unfinished)

    async def _index(self, to_do: Attachment, reader: DocumentReader) -> None:
        """Bring one file into a collection, and note how it ended."""
        collection = to_do.collection
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
            metrics.DOCUMENTS.labels(collection=collection, outcome="failed").inc()
            raise
        attachments.note(attached, status="completed", chunks=chunk_count, indexed_bytes=file.bytes)
        metrics.DOCUMENTS.labels(collection=collection, outcome="written").inc()
        metrics.CHUNKS.labels(collection=collection).inc(chunk_count)

    async def _bring(
        self, file: UploadedFile, attached: Attachment, reader: DocumentReader, is_left_off: threading.Event
    ) -> int:
        """Chunk, embed and write one file; anew when the collection's model or chunk settings changed in between."""
        collection, tenant = attached.collection, attached.tenant
        while True:
            index = await asyncio.to_thread(Index.open, collection, self._store)
            with self._marked(attached):
                chunks = await asyncio.to_thread(chunks_of, file, index, tenant, self._limits, reader, is_left_off)
            table = await self._with_vectors(chunks, index)
            async with self._writing:
                is_written = await asyncio.to_thread(self._write, file, tenant, table, index, is_left_off)
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

    async def _with_vectors(self, chunks: Sequence[Chunk], index: Index) -> pa.Table:
        """Chunks as a table of CHUNK_SCHEMA with `dense`."""
        vectors = []
        for start in range(0, len(chunks), _CHUNKS_AT_A_TIME):
            texts = [chunk.text_to_embed for chunk in chunks[start : start + _CHUNKS_AT_A_TIME]]
            vectors += list(await self._embedder.embed_passages.remote(index.vectors, texts))
        return chunk_table(chunks).append_column("dense", pa.array(vectors, pa.list_(pa.float32(), index.dimension)))

    def _write(
        self, file: UploadedFile, tenant: str, chunks: pa.Table, made_for: Index, is_left_off: threading.Event
    ) -> bool:
        """Write chunks that were made for an index; False when they do not fit it any more.

        Raises:
            InvalidInput: when the index refuses a value of the file.
        """
        with only_writer(self._store, made_for.name, tenant, _WAIT_FOR_WRITERS_S):
            index = Index.open(made_for.name, self._store)
            do_fit = (index.vectors, index.chunking) == (made_for.vectors, made_for.chunking)
            # Who takes the file out waits for this lock too: nothing is written after it was deleted.
            if do_fit and not is_left_off.is_set():
                refused = IndexWriter(index, tenant).write(chunks).refused
                if refused:
                    raise refusal(file, refused[file.source].rstrip("."))
                index.flush()
            return do_fit

    def _delete(self, attachment: Attachment, source: str) -> None:
        with only_writer(self._store, attachment.collection, attachment.tenant, _WAIT_FOR_WRITERS_S):
            index = Index.open(attachment.collection, self._store)
            index.delete_documents(attachment.tenant, [source])
            index.flush()

    async def is_ready(self) -> bool:
        """Answers when it takes files."""
        return True
