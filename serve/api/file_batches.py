"""/v1/vector_stores/…/file_batches in OpenAI's shape: many uploaded files at once. For keys of the scope `documents`.

A batch is the files that were put into a store together; how it stands is how they stand. One that is taken out or
attached anew is no longer of it.
"""

import uuid
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, model_validator

from plait.documents.uploads.attachments import Attachment, AttachmentOptions
from plait.errors import NotFound
from plait.serve.api.chunking_strategy import ChunkingStrategy
from plait.serve.api.documents import Documents, documents
from plait.serve.api.listing import Page, PageWanted, page_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import RequestBody, does_not_fit
from plait.serve.api.vector_store_files import (
    Attributes,
    NewStoreFile,
    StatusFilter,
    StoreFile,
    listed,
    options,
)
from plait.serve.api.vector_store_objects import FileCounts

routes = APIRouter(prefix="/v1/vector_stores/{store_id}/file_batches", tags=["files"])
_MAX_FILES = 2_000


class NewFileBatch(RequestBody):
    """Either `file_ids`, which have the same attributes and chunking, or `files` with their own."""

    file_ids: list[str] | None = Field(None, min_length=1, max_length=_MAX_FILES)
    files: list[NewStoreFile] | None = Field(None, min_length=1, max_length=_MAX_FILES)
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.file_ids is None) == (self.files is None):
            raise does_not_fit("file_ids", "either file_ids or files is required")
        for field in ("attributes", "chunking_strategy"):
            if self.files is not None and getattr(self, field) is not None:
                raise does_not_fit(field, f"{field} is that of file_ids; each of files has its own")
        return self

    def wanted(self) -> dict[str, AttachmentOptions]:
        """How each file is to be put into the store."""
        if self.files is not None:
            return {file.file_id: file.options() for file in self.files}
        return dict.fromkeys(self.file_ids or (), options(self.attributes, self.chunking_strategy))


class FileBatch(BaseModel):
    """`status`: `cancelled` when a file of it is, else `completed` when none is waiting, also when some have failed."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled"]
    file_counts: FileCounts


_Documents = Annotated[Documents, Depends(documents)]


@routes.post("", responses=errors(404, 507))
async def add_batch(store_id: str, body: NewFileBatch, documents: _Documents) -> FileBatch:
    """Put uploaded files into the store: all of them, or none when one cannot be."""
    batch_id = f"vsfb_{uuid.uuid4().hex}"
    return _batch(batch_id, await documents.attach(store_id, body.wanted(), batch_id))


@routes.get("/{batch_id}", responses=errors(404))
async def get_batch(store_id: str, batch_id: str, documents: _Documents) -> FileBatch:
    """How it stands with a batch."""
    return _batch(batch_id, await _files_of(batch_id, store_id, documents))


@routes.post("/{batch_id}/cancel", responses=errors(404, 507))
async def cancel_batch(store_id: str, batch_id: str, documents: _Documents) -> FileBatch:
    """Take out the files of a batch that are not indexed yet; those that are, stay."""
    await _files_of(batch_id, store_id, documents)
    await documents.cancel(store_id, batch_id)
    return _batch(batch_id, await _files_of(batch_id, store_id, documents))


@routes.get("/{batch_id}/files", responses=errors(404))
async def list_files(
    store_id: str,
    batch_id: str,
    documents: _Documents,
    wanted: Annotated[PageWanted, Depends(page_wanted)],
    filter: StatusFilter = None,  # the client's name for it
) -> Page[StoreFile]:
    """The files of a batch, newest first unless `order` is `asc`."""
    return listed(await _files_of(batch_id, store_id, documents), filter, wanted)


async def _files_of(batch_id: str, store_id: str, documents: Documents) -> list[Attachment]:
    files = [attachment for attachment in await documents.attached(store_id) if attachment.batch == batch_id]
    if not files:
        raise NotFound(f"There is no batch '{batch_id[:80]}' in '{store_id}'.")
    return files


def _batch(batch_id: str, files: Sequence[Attachment]) -> FileBatch:
    def count(status: str) -> int:
        return sum(file.status == status for file in files)

    return FileBatch(
        id=batch_id,
        created_at=min(file.created_at for file in files),
        vector_store_id=files[0].collection,
        status="in_progress" if count("in_progress") else "cancelled" if count("cancelled") else "completed",
        file_counts=FileCounts(
            completed=count("completed"),
            failed=count("failed"),
            in_progress=count("in_progress"),
            cancelled=count("cancelled"),
            total=len(files),
        ),
    )
