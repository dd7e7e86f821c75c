"""/v1/vector_stores/…/files in OpenAI's shape: put uploaded files into collections that are served, and take them out.

For keys of the scope `documents`. Only files that came over the API are listed; search finds the others, too.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.documents.uploads.attachments import Attachment
from plait.serve.api.listing import Page, PageWanted, page, page_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import RequestBody
from plait.serve.api.services import Services, services

routes = APIRouter(prefix="/v1/vector_stores/{store_id}/files", tags=["files"])
_MAX_ATTRIBUTES = 16
_Key = Annotated[str, Field(min_length=1, max_length=64)]
_Text = Annotated[str, Field(max_length=512)]
Attributes = Annotated[dict[_Key, _Text | bool | float], Field(max_length=_MAX_ATTRIBUTES)]


class AutoChunking(RequestBody):
    """The collection's way; the only one there is."""

    type: Literal["auto"]


class NewStoreFile(RequestBody):
    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: AutoChunking | None = None


class FileError(BaseModel):
    code: Literal["server_error", "unsupported_file", "invalid_file"] = "invalid_file"
    message: str


class StoreFile(BaseModel):
    """`usage_bytes`: of the file, once it is searchable."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "failed"]
    last_error: FileError | None
    usage_bytes: int
    attributes: dict[str, str | float | bool]
    chunking_strategy: dict[str, Any] = {"type": "other"}


class StoreFileDeleted(BaseModel):
    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: Literal[True] = True


_Services = Annotated[Services, Depends(services)]
StatusFilter = Literal["in_progress", "completed", "failed", "cancelled"] | None


@routes.post("", responses=errors(404, 507))
async def add_file(store_id: str, body: NewStoreFile, services: _Services) -> StoreFile:
    """Put an uploaded file into the store; poll until its status is no longer `in_progress`."""
    (attached,) = await services.attach(store_id, {body.file_id: body.attributes or {}})
    return described(attached)


@routes.get("", responses=errors(404))
async def list_files(
    store_id: str,
    services: _Services,
    wanted: Annotated[PageWanted, Depends(page_wanted)],
    filter: StatusFilter = None,  # the client's name for it
) -> Page[StoreFile]:
    """The uploaded files of a store, newest first unless `order` is `asc`."""
    return listed(await services.attached(store_id), filter, wanted)


@routes.get("/{file_id}", responses=errors(404))
async def get_file(store_id: str, file_id: str, services: _Services) -> StoreFile:
    """How it stands with a file of the store."""
    return described(await services.attachment(store_id, file_id))


@routes.delete("/{file_id}", responses=errors(404))
async def remove_file(store_id: str, file_id: str, services: _Services) -> StoreFileDeleted:
    """Take a file out of the store; the file itself stays."""
    await services.detach(store_id, file_id)
    return StoreFileDeleted(id=file_id)


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
    )
