"""/v1/uploads in OpenAI's shape: a file that is sent in parts. For keys of the scope `documents`.

In: what the file will be, its parts, their order. Out: a file, as /v1/files has it.
"""

import asyncio
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from plait.documents.uploads import multipart, uploaded_files
from plait.serve.api.caller import Caller, caller
from plait.serve.api.files import FileObject, file_object
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import RequestBody
from plait.serve.api.upload_form import LONGEST_EXPIRY_S, MAX_PURPOSE, SHORTEST_EXPIRY_S, read_upload

routes = APIRouter(prefix="/v1/uploads", tags=["files"])
_FORM = {
    "required": ["data"],
    "type": "object",
    "properties": {"data": {"type": "string", "format": "binary"}},
}
_Asking = Annotated[Caller, Depends(caller)]


class FileExpiry(RequestBody):
    """The file is deleted so many seconds after it was made."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=SHORTEST_EXPIRY_S, le=LONGEST_EXPIRY_S)


class NewUpload(RequestBody):
    """`bytes`: of the whole file, 100 MiB at most. `mime_type` is not read: the file's name says its format."""

    filename: str = Field(max_length=1_024)
    purpose: str = Field(max_length=MAX_PURPOSE)
    bytes: int = Field(ge=1)
    mime_type: str | None = None
    expires_after: FileExpiry | None = None


class UploadParts(RequestBody):
    part_ids: list[str] = Field(min_length=1, max_length=multipart.MAX_PARTS, description="In the order of the file.")
    md5: str | None = Field(None, description="Of the whole file, in hexadecimal digits; compared where it is given.")


class UploadObject(BaseModel):
    """Times are seconds since 1970, UTC. `file`: once the upload is completed."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: multipart.Status
    file: FileObject | None = None


class UploadPart(BaseModel):
    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


@routes.post("", responses=errors(409, 507))
async def begin(body: NewUpload, asking: _Asking) -> UploadObject:
    """Begin a file that is sent in parts. What is not completed within an hour is forgotten."""
    expires_after_s = body.expires_after.seconds if body.expires_after else None
    begun = await asyncio.to_thread(
        multipart.begin, body.filename, body.purpose, body.bytes, asking.reach, expires_after_s
    )
    return _described(begun)


# The form is read in here: by then the key is checked.
@routes.post(
    "/{upload_id}/parts",
    responses=errors(404, 409, 507),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def add_part(upload_id: str, request: Request, asking: _Asking) -> UploadPart:
    """Send a part, 64 MiB at most; parts may be sent side by side."""
    multipart.find(upload_id, asking.reach)
    async with aclosing(await read_upload(request, "data")) as form:
        part = await asyncio.to_thread(multipart.add_part, upload_id, form.file, asking.reach)
    return UploadPart(**part.model_dump())


@routes.post("/{upload_id}/complete", responses=errors(404, 409, 507))
async def complete(upload_id: str, body: UploadParts, asking: _Asking) -> UploadObject:
    """Make a file of the parts."""
    ended, file = await asyncio.to_thread(multipart.complete, upload_id, body.part_ids, body.md5, asking.reach)
    return _described(ended, file)


@routes.post("/{upload_id}/cancel", responses=errors(404, 409))
async def cancel(upload_id: str, asking: _Asking) -> UploadObject:
    """Forget the parts; no more can be sent."""
    return _described(await asyncio.to_thread(multipart.cancel, upload_id, asking.reach))


def _described(upload: multipart.Upload, file: uploaded_files.UploadedFile | None = None) -> UploadObject:
    return UploadObject(
        id=upload.id,
        bytes=upload.bytes,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        filename=upload.filename,
        purpose=upload.purpose,
        status=upload.status,
        file=file_object(file) if file else None,
    )
