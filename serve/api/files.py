"""/v1/files in OpenAI's shape: files to put into vector stores. For keys of the scope `documents`.

In: multipart forms. Out: files under ids. What is done with them is for /v1/vector_stores.
"""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel

from plait.documents.uploads import uploaded_files
from plait.serve.api.caller import Caller, caller
from plait.serve.api.documents import Documents, documents
from plait.serve.api.listing import Page, PageWanted, page, page_of_files_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.upload_form import LONGEST_EXPIRY_S, SHORTEST_EXPIRY_S, read_upload

routes = APIRouter(prefix="/v1/files", tags=["files"])
_Asking = Annotated[Caller, Depends(caller)]
_FORM = {
    "required": ["file"],
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string"},
        "expires_after[anchor]": {"const": "created_at"},
        "expires_after[seconds]": {"type": "integer", "minimum": SHORTEST_EXPIRY_S, "maximum": LONGEST_EXPIRY_S},
    },
}


class FileObject(BaseModel):
    """Times are seconds since 1970, UTC. `status_details`: why it cannot be used, in the status `error`."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None = None
    status: Literal["processed", "error"] = "processed"
    status_details: str | None = None


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


# The form is read in here: by then the key is checked.
@routes.post(
    "",
    responses=errors(507),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def upload(request: Request, asking: _Asking) -> FileObject:
    """Keep a file, 100 MiB at most. `purpose` is kept as it is."""
    async with aclosing(await read_upload(request)) as form:
        kept = await asyncio.to_thread(
            uploaded_files.save, form.filename, form.purpose, form.file, asking.reach, form.expires_after_s
        )
    return file_object(kept)


@routes.get("", responses=errors(404))
async def list_files(
    asking: _Asking, wanted: Annotated[PageWanted, Depends(page_of_files_wanted)], purpose: str | None = None
) -> Page[FileObject]:
    """The files, newest first unless `order` is `asc`; with a `purpose` only those that were sent with it."""
    files = await asyncio.to_thread(uploaded_files.files, asking.reach)
    return Page[FileObject](**page([file_object(file) for file in files if purpose in (None, file.purpose)], wanted))


@routes.get("/{file_id}", responses=errors(404))
async def get_file(file_id: str, asking: _Asking) -> FileObject:
    """One file."""
    return file_object(uploaded_files.file(file_id, asking.reach))


@routes.get("/{file_id}/content", responses=errors(404), response_class=FileResponse)
async def get_content(file_id: str, asking: _Asking) -> Path:
    """What was sent."""
    return uploaded_files.file(file_id, asking.reach).path


@routes.delete("/{file_id}", responses=errors(404, 409))
async def delete_file(file_id: str, documents: Annotated[Documents, Depends(documents)]) -> FileDeleted:
    """Forget a file; the collections that are served forget it too."""
    await documents.delete_file(file_id)
    return FileDeleted(id=file_id)


def file_object(file: uploaded_files.UploadedFile) -> FileObject:
    """A file as OpenAI's clients know it."""
    fields: dict[str, Any] = file.model_dump(exclude={"of", "error"})
    return FileObject(**fields, status="error" if file.error else "processed", status_details=file.error)
