"""The indexer deployment: files that came over the API, into the collection that is served and out of it again.

One file at a time is parsed and chunked as ingestion does it, embedded by the application's embedder, and written while
no other writer is there. What is to be done is on the disk: a replica that was killed goes on with it.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

import pyarrow as pa
from ray.serve.handle import DeploymentHandle

from plait import uploads
from plait.errors import Conflict, InvalidInput, find_plait_error
from plait.index.chunk import Chunk, chunk_table
from plait.index.collection import Index
from plait.index.quarantine import Failure
from plait.jobs.ingest.chunk import Chunker, Origin, settings_hash
from plait.jobs.ingest.formats import FORMATS
from plait.jobs.ingest.load import load
from plait.jobs.ingest.only_writer import only_writer
from plait.jobs.ingest.read import DocumentFile
from plait.jobs.ingest.rows import RowReader
from plait.local.milvus import milvus_uri
from plait.models.source import resolve_model
from plait.models.vectors import VectorKind
from plait.observability import metrics, tracing
from plait.recipes import DEFAULT_EMBEDDING, IngestRecipe
from plait.serve.arguments import RetrievalArguments
from plait.serve.request_log import log_expected_errors_in_one_line
from plait.uploads import Attachment, UploadedFile

_log = logging.getLogger("ray.serve")
_CHUNKS_AT_A_TIME = 32  # questions are embedded in between
_WAIT_FOR_WRITERS_S = 3600.0


class Indexer:
    """What is written to the collection from within the application; one replica of it."""

    # Serve awaits it, and so it has the loop that its task runs in.
    async def __init__(self, arguments: RetrievalArguments, embedder: DeploymentHandle) -> None:  # type: ignore[misc]
        log_expected_errors_in_one_line()
        tracing.configure("indexer")
        self._collection, self._tenant = arguments.collection, arguments.tenant
        self._milvus_uri, self._embedder = arguments.milvus_uri or milvus_uri(), embedder
        self._to_do: asyncio.Queue[str] = asyncio.Queue()
        self._writing = asyncio.Lock()
        for unfinished in reversed(self.attached()):
            if unfinished.status == "in_progress":
                self._to_do.put_nowait(unfinished.file_id)
        self._worker = asyncio.create_task(self._work())

    def attached(self) -> list[Attachment]:
        """The files of the collection, newest first."""
        return uploads.attachments(self._collection, self._tenant)

    def attachment(self, file_id: str) -> Attachment:
        """How it stands with a file.

        Raises:
            NotFound: when it is not in the collection.
        """
        return uploads.attachment(file_id, self._collection, self._tenant)

    def attach(self, file_id: str, attributes: dict[str, str | float | bool]) -> Attachment:
        """Put a file into the collection; it is searchable when its state is `completed`.

        Raises:
            NotFound: when there is no such file.
            InvalidInput: for a file of an unknown format.
        """
        file = uploads.file(file_id)
        if file.path.suffix.lower() not in FORMATS:
            raise InvalidInput(f"'{file.filename}' is of no known format.", f"Known: {', '.join(sorted(FORMATS))}.")
        new = Attachment(
            file_id=file_id,
            collection=self._collection,
            tenant=self._tenant,
            created_at=int(time.time()),
            attributes=attributes,
        )
        uploads.write_attachment(new)
        self._to_do.put_nowait(file_id)
        return new

    async def detach(self, file_id: str) -> None:
        """Take a file out of the collection; the file itself stays.

        Raises:
            NotFound: when it is not in the collection.
        """
        attachment, source = self.attachment(file_id), uploads.file(file_id).source
        async with self._writing:
            await asyncio.to_thread(self._delete, source)
            uploads.drop_attachment(attachment)

    async def detach_and_delete(self, file_id: str) -> None:
        """Take a file out of the collection, if it is in it, and forget it.

        Raises:
            NotFound: when there is no such file.
            Conflict: when another collection holds it.
        """
        uploads.file(file_id)
        if any(attachment.file_id == file_id for attachment in self.attached()):
            await self.detach(file_id)
        if uploads.is_attached(file_id):
            raise Conflict(f"File '{file_id}' is in another collection.", "Delete it there first.")
        uploads.delete(file_id)

    # ------------------------------------------------------------ the work

    async def _work(self) -> None:
        while True:
            file_id = await self._to_do.get()
            async with self._writing:
                try:
                    await self._index(file_id)
                except Exception as error:
                    _log.error("a file could not be indexed", exc_info=error)

    async def _index(self, file_id: str) -> None:
        """Bring one file into the collection, and note how it ended."""
        attached = next((a for a in self.attached() if a.file_id == file_id), None)
        if attached is None:  # taken out again before its turn
            return
        file = uploads.file(file_id)
        try:
            chunk_count = await self._bring(file)
        except Exception as error:
            reason = str(find_plait_error(error) or "Something went wrong inside the server. Its log says what.")
            uploads.write_attachment(attached.model_copy(update={"status": "failed", "error": reason}))
            metrics.DOCUMENTS.labels(collection=self._collection, outcome="failed").inc()
            raise
        done = {"status": "completed", "chunks": chunk_count, "indexed_bytes": file.bytes}
        uploads.write_attachment(attached.model_copy(update=done))
        metrics.DOCUMENTS.labels(collection=self._collection, outcome="written").inc()
        metrics.CHUNKS.labels(collection=self._collection).inc(chunk_count)

    async def _bring(self, file: UploadedFile) -> int:
        """Chunk, embed and write one file; anew when a rebuild with another model came in between."""
        while True:
            index = await asyncio.to_thread(Index.open, self._collection, self._milvus_uri)
            chunks = await asyncio.to_thread(self._chunks, file, index)
            table = await self._with_vectors(chunks, index)
            if await asyncio.to_thread(self._write, table, index.vectors):
                return len(chunks)

    def _chunks(self, file: UploadedFile, index: Index) -> list[Chunk]:
        recipe = self._recipe(file, index)
        settings_key = settings_hash(recipe.chunk, recipe.embedding.made_with)
        with RowReader(recipe.table) as rows:
            loaded = load(DocumentFile(file.source, str(file.path)), recipe, settings_key, rows)
        if isinstance(loaded, Failure):
            raise InvalidInput(f"'{file.filename}' cannot be indexed: {loaded.reason}.", "Mend it and send it again.")
        version, document = loaded
        chunker = Chunker(resolve_model(recipe.embedding.tokenizer_source), recipe.chunk, settings_key)
        return chunker.chunk(document, Origin(self._tenant, file.source, version, int(time.time() * 1000)))

    def _recipe(self, file: UploadedFile, index: Index) -> IngestRecipe:
        """Whatever ingests the collection later makes the chunks anew if its recipe has other settings."""
        embedding = {"model": index.embedding_model}
        if index.embedding_model.startswith("openai:"):
            embedding["tokenizer"] = DEFAULT_EMBEDDING
        return IngestRecipe.model_validate(
            {
                "collection": self._collection,
                "tenant": self._tenant,
                "sources": [str(file.path)],
                "embedding": embedding,
                "sync": False,
            }
        )

    async def _with_vectors(self, chunks: Sequence[Chunk], index: Index) -> pa.Table:
        """Chunks as a table of CHUNK_SCHEMA with `dense`."""
        vectors = []
        for start in range(0, len(chunks), _CHUNKS_AT_A_TIME):
            texts = [chunk.text_to_embed for chunk in chunks[start : start + _CHUNKS_AT_A_TIME]]
            vectors += list(await self._embedder.embed_for.remote(index.vectors, texts, "passage"))
        return chunk_table(chunks).append_column("dense", pa.array(vectors, pa.list_(pa.float32(), index.dimension)))

    def _write(self, chunks: pa.Table, vectors: VectorKind) -> bool:
        """Write what was embedded for an index of this kind; False when it is of another now."""
        with only_writer(self._collection, self._tenant, self._milvus_uri, _WAIT_FOR_WRITERS_S):
            index = Index.open(self._collection, self._milvus_uri)
            if index.vectors == vectors:
                index.upsert(chunks)
                index.flush()
            return index.vectors == vectors

    def _delete(self, source: str) -> None:
        with only_writer(self._collection, self._tenant, self._milvus_uri, _WAIT_FOR_WRITERS_S):
            index = Index.open(self._collection, self._milvus_uri)
            index.delete_documents(self._tenant, [source])
            index.flush()

    async def is_ready(self) -> bool:
        """Answers when it takes files."""
        return True
