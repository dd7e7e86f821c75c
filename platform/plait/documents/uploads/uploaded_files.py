"""Files that came over the API.

In: bytes with a name. Out: the same, under an id, as long as they are not deleted.
"""

import re
import shutil
import time
import unicodedata
import uuid
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from plait.documents.uploads.folders import folder_of, folders, is_file_id, root, unreadable
from plait.documents.uploads.reach import EVERYTHING, NOBODY, Reach
from plait.errors import InvalidInput, NotFound, TooLarge
from plait.whole_files import make_private, remove_leftovers, whole_folder

MAX_BYTES = 100 * 1024 * 1024
"""Larger documents are for ingestion, which streams."""

_MAX_NAME_BYTES = 200  # Linux takes 255, and a part of it is ours
_ABOUT = ".file.json"


class Readable(Protocol):
    """Where a file's bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class UploadedFile(BaseModel):
    """Times are seconds since 1970, UTC. `bytes`: its size. `of`: within whose reach it was sent.

    `expires_at`: when it is to be forgotten; None: never.
    `error`: why what is known of it cannot be read; then the rest is what the disk says.
    """

    id: str
    filename: str
    bytes: int
    created_at: int
    purpose: str
    of: Reach = Reach()
    expires_at: int | None = None
    error: str | None = None

    @property
    def source(self) -> str:
        """The name of the document in an index: two files may have the same name, but not the same id."""
        return f"{self.id}/{self.filename}"

    @property
    def path(self) -> Path:
        return folder_of(self.id) / self.filename


def uploaded_as(source: str) -> tuple[str, str] | None:
    """The file id and the file's name, when a document came over the API."""
    file_id, slash, name = source.partition("/")
    return (file_id, name) if slash and is_file_id(file_id) else None


def as_file(source: str) -> tuple[str, str]:
    """The id and the name of a document as a file: what ingestion brought has its source for both."""
    return uploaded_as(source) or (source, source)


def uploaded_like(filename: str) -> str:
    """A pattern of SQL's `like` for the sources of all files that were uploaded under a name."""
    name = re.sub(r"([\\%_])", r"\\\1", filename)
    return f"file-{'_' * 32}/{name}"


def save(
    filename: str,
    purpose: str,
    data: Readable,
    of: Reach = EVERYTHING,
    expires_after_s: int | None = None,
    is_bounded: bool = True,
) -> UploadedFile:
    """Keep a file, until so many seconds are over; None: until it is deleted.

    `is_bounded`: not for what the server itself makes, which may be of any size.

    Raises:
        InvalidInput: for a name that is none, or a file that is empty.
        TooLarge: for one that is larger than MAX_BYTES.
        InsufficientStorage: when the disk is full.
    """
    name = checked_name(filename)
    make_private(root())
    now = int(time.time())
    file_id = f"file-{uuid.uuid4().hex}"
    with whole_folder(folder_of(file_id)) as folder:
        file = UploadedFile(
            id=file_id,
            filename=name,
            bytes=_copy(data, folder / name, is_bounded),
            created_at=now,
            purpose=purpose,
            of=of,
            expires_at=None if expires_after_s is None else now + expires_after_s,
        )
        (folder / _ABOUT).write_text(file.model_dump_json(exclude={"error"}), encoding="utf-8")
    return file


def files(reach: Reach = EVERYTHING) -> list[UploadedFile]:
    """All within somebody's reach, newest first."""
    found = [_file_in(folder) for folder in folders()]
    return sorted(
        (file for file in found if file and reach.holds(file.of)),
        key=lambda file: (file.created_at, file.id),
        reverse=True,
    )


def file(file_id: str, reach: Reach = EVERYTHING) -> UploadedFile:
    """The one of this id.

    Raises:
        NotFound: when there is none within reach.
    """
    found = _file_in(folder_of(file_id)) if is_file_id(file_id) else None
    if found is None or not reach.holds(found.of):
        raise NotFound(f"There is no file '{file_id[:80]}'.", "GET /v1/files lists what there is.")
    return found


def delete(file_id: str) -> None:
    """Forget a file; what indexes hold of it is another matter.

    Raises:
        NotFound: when there is none.
    """
    folder = file(file_id).path.parent
    gone = folder.with_name(f".gone-{file_id}")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def tidy() -> None:
    """Remove what killed processes left half-written or half-deleted, and close all of it to other users."""
    if not root().is_dir():
        return
    make_private(root())
    for folder in (root(), *folders()):
        remove_leftovers(folder)
    for gone in root().glob(".gone-*"):
        shutil.rmtree(gone, ignore_errors=True)


def _file_in(folder: Path) -> UploadedFile | None:
    about = folder / _ABOUT
    try:
        return UploadedFile.model_validate_json(about.read_bytes())
    except FileNotFoundError:  # somebody deleted it this very moment
        return None
    except (OSError, ValueError) as error:
        return _file_on_disk(folder, unreadable(about, error))


def _file_on_disk(folder: Path, error: str) -> UploadedFile | None:
    """What can be said of a file whose state cannot be read; None when it is gone."""
    try:
        created_at = int(folder.stat().st_mtime)
        names = [path for path in folder.iterdir() if not path.name.startswith(".")]
        size = names[0].stat().st_size if names else 0
    except OSError:
        return None
    return UploadedFile(
        id=folder.name,
        filename=names[0].name if names else "unknown",
        bytes=size,
        created_at=created_at,
        purpose="assistants",
        of=NOBODY,
        error=error,
    )


def checked_name(filename: str) -> str:
    """The name that a file of this name is kept under.

    Raises:
        InvalidInput: when it is none.
    """
    name = unicodedata.normalize("NFC", filename.replace("\\", "/").rpartition("/")[2].strip())
    is_printable = name.isprintable() and not name.startswith(".")
    if not name or not is_printable or len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
        raise InvalidInput(
            f"A file cannot be named {filename[:80]!r}.",
            f"Send a name of printable characters, {_MAX_NAME_BYTES} bytes at most, that does not start with a dot.",
        )
    return name


def _copy(data: Readable, to: Path, is_bounded: bool) -> int:
    size = 0
    with open(to, "wb") as out:
        while block := data.read(1 << 20):
            size += len(block)
            if is_bounded and size > MAX_BYTES:
                raise TooLarge(
                    f"The file is larger than {MAX_BYTES >> 20} MiB.", "Bring it into the collection by plait ingest."
                )
            out.write(block)
    if not size:
        raise InvalidInput("The file is empty.", "Send one with text in it.")
    return size
