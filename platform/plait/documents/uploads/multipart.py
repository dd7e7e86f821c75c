"""Files that come over the API in parts.

In: what the file will be, then its parts in any order, then the order. Out: an uploaded file. An upload that is neither
completed nor cancelled ends after an hour, and its parts with it. It lies beside the files, in a folder of its own.
"""

import hashlib
import re
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from filelock import FileLock
from pydantic import BaseModel

from plait.documents.uploads import uploaded_files
from plait.documents.uploads.folders import log_unreadable, root
from plait.documents.uploads.reach import EVERYTHING, Reach
from plait.documents.uploads.uploaded_files import MAX_BYTES, UploadedFile, checked_name
from plait.errors import Conflict, InvalidInput, NotFound, TooLarge
from plait.whole_files import full_disk_told, make_private, reach_disk, write_whole

MAX_PART_BYTES = 64 * 1024 * 1024
MAX_PARTS = 1_000
_MAX_PENDING = 100  # of keys that reach the same: each may hold 100 MiB for an hour
_LASTS_S = 60 * 60
_ID, _PART_ID = re.compile(r"upload_[0-9a-f]{32}"), re.compile(r"part_[0-9a-f]{32}")
_ABOUT = ".upload.json"

Status = Literal["pending", "completed", "cancelled", "expired"]


class Upload(BaseModel):
    """`bytes`: of the whole file. Times are seconds since 1970, UTC. `of`: within whose reach it was begun.

    `file_expires_after_s`: how long the file is kept once it is whole; None: until it is deleted. `file_id`: of the
    whole file.
    """

    id: str
    filename: str
    bytes: int
    purpose: str
    created_at: int
    expires_at: int
    of: Reach = Reach()
    file_expires_after_s: int | None = None
    ended: Literal["completed", "cancelled"] | None = None
    file_id: str | None = None

    @property
    def status(self) -> Status:
        if self.ended is not None:
            return self.ended
        return "expired" if time.time() >= self.expires_at else "pending"


class Part(BaseModel):
    id: str
    upload_id: str
    created_at: int


def begin(
    filename: str, purpose: str, size: int, of: Reach = EVERYTHING, file_expires_after_s: int | None = None
) -> Upload:
    """Begin an upload of `size` bytes.

    Raises:
        InvalidInput: for a name that is none.
        TooLarge: for more than MAX_BYTES.
        Conflict: when too many are begun already.
        InsufficientStorage: when the disk is full.
    """
    name = checked_name(filename)
    if size > MAX_BYTES:
        raise TooLarge(
            f"The file is larger than {MAX_BYTES >> 20} MiB.", "Bring it into the collection by plait ingest."
        )
    tidy()
    if sum(upload.of == of and upload.status == "pending" for upload in _uploads()) >= _MAX_PENDING:
        raise Conflict(f"{_MAX_PENDING} uploads are begun and not completed.", "Complete or cancel one of them.")
    now = int(time.time())
    upload = Upload(
        id=f"upload_{uuid.uuid4().hex}",
        filename=name,
        bytes=size,
        purpose=purpose,
        created_at=now,
        expires_at=now + _LASTS_S,
        of=of,
        file_expires_after_s=file_expires_after_s,
    )
    make_private(root())
    with full_disk_told(root()):
        _folder(upload.id).mkdir(mode=0o700)
    _write(upload)
    return upload


def add_part(upload_id: str, data: BinaryIO, reach: Reach = EVERYTHING) -> Part:
    """Keep a part of a file.

    Raises:
        NotFound: when there is no such upload within reach.
        Conflict: when it is not pending, or has too many parts.
        InvalidInput: for a part that is empty.
        TooLarge: for one above MAX_PART_BYTES, or more bytes than the upload is of.
        InsufficientStorage: when the disk is full.
    """
    find(upload_id, reach)
    block = data.read(MAX_PART_BYTES + 1)
    if not block:
        raise InvalidInput("The part is empty.", "Send one with bytes in it.")
    if len(block) > MAX_PART_BYTES:
        raise TooLarge(f"The part is larger than {MAX_PART_BYTES >> 20} MiB.", "Send the file in smaller parts.")
    with _locked(upload_id):
        upload = _pending(upload_id, reach)
        sizes = [part.stat().st_size for part in _parts(upload_id)]
        if len(sizes) >= MAX_PARTS:
            raise Conflict(f"The upload has {MAX_PARTS} parts already.", "Send the file in larger parts.")
        if sum(sizes) + len(block) > upload.bytes:
            raise TooLarge(
                f"The parts are more than the {upload.bytes} bytes that the upload is of.",
                "Cancel it and begin one of the right size.",
            )
        part = Part(id=f"part_{uuid.uuid4().hex}", upload_id=upload_id, created_at=int(time.time()))
        write_whole(_folder(upload_id) / part.id, block)
    return part


def complete(
    upload_id: str, part_ids: Sequence[str], md5: str | None = None, reach: Reach = EVERYTHING
) -> tuple[Upload, UploadedFile]:
    """Make a file of parts, in this order; parts that are not named are forgotten. Asked again, it answers the same.

    Raises:
        NotFound: when there is no such upload within reach, or its file was deleted.
        Conflict: when it was cancelled, or its hour is over.
        InvalidInput: for parts that it has not, or that are named twice; when their bytes are not as many as the upload
            is of, or have another MD5.
        InsufficientStorage: when the disk is full; the upload is then pending as before.
    """
    find(upload_id, reach)
    with _locked(upload_id):
        known = find(upload_id, reach)
        if known.file_id is not None:  # a client whose answer was lost asks again
            return known, uploaded_files.file(known.file_id, reach)
        upload = _pending(upload_id, reach)
        held = {part.name: part for part in _parts(upload_id)}
        missing = next((part_id for part_id in part_ids if part_id not in held), None)
        if missing is not None:
            raise InvalidInput(f"The upload has no part '{missing[:80]}'.", "Name the ids that its parts were given.")
        if len(set(part_ids)) < len(part_ids):
            raise InvalidInput("A part is named twice.", "Name each once, in the order of the file.")
        size = sum(held[part_id].stat().st_size for part_id in part_ids)
        if size != upload.bytes:
            raise InvalidInput(
                f"The parts are {size} bytes, and the upload is of {upload.bytes}.", "Send the missing parts."
            )
        joined = _Joined([held[part_id] for part_id in part_ids])
        if md5 is not None and joined.md5() != md5.lower():
            raise InvalidInput("The parts have another MD5 than was said.", "Send the file anew.")
        file = uploaded_files.save(upload.filename, upload.purpose, joined, upload.of, upload.file_expires_after_s)
        ended = upload.model_copy(update={"ended": "completed", "file_id": file.id})
        _write(ended)
        _drop_parts(upload_id)
    return ended, file


def cancel(upload_id: str, reach: Reach = EVERYTHING) -> Upload:
    """End an upload, and forget its parts.

    Raises:
        NotFound: when there is no such upload within reach.
        Conflict: when it is not pending.
    """
    find(upload_id, reach)
    with _locked(upload_id):
        ended = _pending(upload_id, reach).model_copy(update={"ended": "cancelled"})
        _write(ended)
        _drop_parts(upload_id)
    return ended


def find(upload_id: str, reach: Reach = EVERYTHING) -> Upload:
    """An upload that was begun within the last hour.

    Raises:
        NotFound: when there is none of this id within reach.
    """
    found = _read(_folder(upload_id)) if _ID.fullmatch(upload_id) else None
    if found is None or not reach.holds(found.of):
        raise NotFound(f"There is no upload '{upload_id[:80]}'.", "POST /v1/uploads begins one.")
    return found


def tidy() -> None:
    """Forget the uploads whose hour is over, and their parts."""
    for folder in root().glob("upload_*"):
        upload = _read(folder)
        with suppress(OSError):  # somebody else removed it this very moment
            ended_at = upload.expires_at if upload else folder.stat().st_mtime + _LASTS_S
            if time.time() >= ended_at:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)


class _Joined:
    """Parts as one file."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._parts = parts
        self._blocks = (part.read_bytes() for part in parts)

    def md5(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for part in self._parts:
            digest.update(part.read_bytes())
        return digest.hexdigest()

    def read(self, size: int, /) -> bytes:
        return next(self._blocks, b"")


def _uploads() -> list[Upload]:
    return [upload for folder in root().glob("upload_*") if (upload := _read(folder))]


def _pending(upload_id: str, reach: Reach) -> Upload:
    upload = find(upload_id, reach)
    if upload.status != "pending":
        raise Conflict(f"The upload is {upload.status}.", "Begin another: POST /v1/uploads.")
    return upload


def _folder(upload_id: str) -> Path:
    return root() / upload_id


def _locked(upload_id: str) -> FileLock:
    return FileLock(root() / f".{upload_id}.lock")


def _parts(upload_id: str) -> list[Path]:
    return [path for path in _folder(upload_id).glob("part_*") if _PART_ID.fullmatch(path.name)]


def _drop_parts(upload_id: str) -> None:
    for part in _parts(upload_id):
        part.unlink(missing_ok=True)
    reach_disk(_folder(upload_id))


def _write(upload: Upload) -> None:
    write_whole(_folder(upload.id) / _ABOUT, upload.model_dump_json())


def _read(folder: Path) -> Upload | None:
    try:
        return Upload.model_validate_json((folder / _ABOUT).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log_unreadable(folder / _ABOUT, error)
        return None
