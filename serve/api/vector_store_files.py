"""/v1/vector_stores/…/files in OpenAI's shape: put uploaded files into collections that are served, and take them out.

For keys of the scope `documents`. Only files that came over the API are listed; search finds the others, too.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.documents.uploads.attachments import Attachment, AttachmentOptions, Status
from plait.serve.api import chunking_strategy
from plait.serve.api.chunking_strategy import ChunkingStrategy, FileChunking
from plait.serve.api.documents import Documents, documents
from plait.serve.api.listing import Page, PageWanted, page, page_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import RequestBody

routes = APIRouter(prefix="/v1/vector_stores/{store_id}/files", tags=["files"])
_MAX_ATTRIBUTES = 16
_Key = Annotated[str, Field(min_length=1, max_length=64)]
_Text = Annotated[str, Field(max_length=512)]
Attributes = Annotated[dict[_Key, _Text | bool | float], Field(max_length=_MAX_ATTRIBUTES)]


class NewStoreFile(RequestBody):
    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None

    def options(self) -> AttachmentOptions:
        return options(self.attributes, self.chunking_strategy)


class ChangedStoreFile(RequestBody):
    attributes: Attributes | None = Field(description="All of them; `null` or `{}` takes them away.")


class FileError(BaseModel):
    code: Literal["server_error", "unsupported_file", "invalid_file"] = "invalid_file"
    message: str


class StoreFile(BaseModel):
    """`usage_bytes`: of the file, once it is searchable."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    status: Status
    last_error: FileError | None
    usage_bytes: int
    attributes: dict[str, str | float | bool]
    chunking_strategy: FileChunking


class FileText(BaseModel):
    type: Literal["text"] = "text"
    text: str


class FileContent(BaseModel):
    """What was read of a file, chunk by chunk."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[FileText]
    has_more: Literal[False] = False
    next_page: None = None


class StoreFileDeleted(BaseModel):
    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: Literal[True] = True


_Documents = Annotated[Documents, Depends(documents)]
StatusFilter = Status | None


@routes.post("", responses=errors(404, 507))
async def add_file(store_id: str, body: NewStoreFile, documents: _Documents) -> StoreFile:
    """Put an uploaded file into the store; poll until its status is no longer `in_progress`."""
    (attached,) = await documents.attach(store_id, {body.file_id: body.options()})
    return described(attached)


@routes.get("", responses=errors(404))
async def list_files(
    store_id: str,
    documents: _Documents,
    wanted: Annotated[PageWanted, Depends(page_wanted)],
    filter: StatusFilter = None,  # the client's name for it
) -> Page[StoreFile]:
    """The uploaded files of a store, newest first unless `order` is `asc`."""
    return listed(await documents.attached(store_id), filter, wanted)


@routes.get("/{file_id}", responses=errors(404))
async def get_file(store_id: str, file_id: str, documents: _Documents) -> StoreFile:
    """How it stands with a file of the store."""
    return described(await documents.attachment(store_id, file_id))


@routes.post("/{file_id}", responses=errors(404, 507))
async def change_file(store_id: str, file_id: str, body: ChangedStoreFile, documents: _Documents) -> StoreFile:
    """Give a file of the store other attributes. It is indexed anew: until then search goes by the old ones."""
    before = await documents.attachment(store_id, file_id)
    wanted = AttachmentOptions(attributes=body.attributes or {}, chunk_size=before.chunk_size)
    (attached,) = await documents.attach(store_id, {file_id: wanted}, before.batch)
    return described(attached)


@routes.get("/{file_id}/content", responses=errors(404, 503))
async def get_content(store_id: str, file_id: str, documents: _Documents) -> FileContent:
    """What the store holds of a file: the texts of its chunks, in its order."""
    return FileContent(data=[FileText(text=chunk.text) for chunk in await documents.chunks(store_id, file_id)])


@routes.delete("/{file_id}", responses=errors(404))
async def remove_file(store_id: str, file_id: str, documents: _Documents) -> StoreFileDeleted:
    """Take a file out of the store; the file itself stays."""
    await documents.detach(store_id, file_id)
    return StoreFileDeleted(id=file_id)


def options(attributes: dict[str, str | bool | float] | None, chunking: ChunkingStrategy | None) -> AttachmentOptions:
    """How a file is to be put into the store."""
    return AttachmentOptions(attributes=attributes or {}, chunk_size=chunking.chunk_size() if chunking else None)


def listed(files: Sequence[Attachment], status: StatusFilter, wanted: PageWanted) -> Page[StoreFile]:
    """A page of the files that have a status."""
    return Page[StoreFile](**page([described(file) for file in files if status in (None, file.status)], wanted))


def described(attachment: Attachment) -> StoreFile:
    return StoreFile(
        id=attachment.file_id,
        created_at=attachment.created_at,
        vector_store_id=attachment.collection,
        status=attachment.status,
        last_error=FileError(message=attachment.error) if attachment.error else None,
        usage_bytes=attachment.indexed_bytes,
        attributes=attachment.attributes,
        chunking_strategy=chunking_strategy.described(attachment.chunk_size),
    )
