"""Files that came over the API, and which collections they were put into.

In: bytes with a name. Out: the same, under an id, as long as they are not deleted. All lies in PLAIT_HOME/uploads (on
shared storage, where several machines serve), one folder a file; what belongs together is put there by one rename. It
knows neither HTTP nor Milvus.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from plait.errors import InvalidInput, NotFound
from plait.settings import settings

MAX_BYTES = 100 * 1024 * 1024
"""Larger documents are for ingestion, which streams."""

_ID = re.compile(r"file-[0-9a-f]{32}")
_MAX_NAME_BYTES = 200  # Linux takes 255, and a part of it is ours
_ABOUT = ".file.json"

Attributes = dict[str, str | float | bool]

_Model = TypeVar("_Model", bound=BaseModel)


class Reach(BaseModel):
    """What of the files and collections somebody may touch: those of a tenant, and of some collections; None: all."""

    model_config = ConfigDict(frozen=True)

    tenant: str | None = None
    collections: tuple[str, ...] | None = None

    def holds(self, other: "Reach") -> bool:
        """Whether all that another may touch is within this one."""
        if self.tenant not in (None, other.tenant):
            return False
        if self.collections is None:
            return True
        return other.collections is not None and set(other.collections) <= set(self.collections)


class UploadedFile(BaseModel):
    """`created_at`: seconds since 1970, UTC. `bytes`: its size. `of`: within whose reach it was sent."""

    id: str
    filename: str
    bytes: int
    created_at: int
    purpose: str
    of: Reach = Reach()

    @property
    def source(self) -> str:
        """The name of the document in an index: two files may have the same name, but not the same id."""
        return f"{self.id}/{self.filename}"

    @property
    def path(self) -> Path:
        return _folder(self.id) / self.filename


EVERYTHING = Reach()


class Attachment(BaseModel):
    """A file in a collection, for a tenant.

    `attributes` become the document's metadata. `batch`: of the files that were put there together. `error`: why it
    failed. `chunks` and `indexed_bytes`: once completed.
    """

    file_id: str
    collection: str
    tenant: str
    created_at: int
    attributes: Attributes
    batch: str | None = None
    status: Literal["in_progress", "completed", "failed"] = "in_progress"
    error: str | None = None
    chunks: int = 0
    indexed_bytes: int = 0

    @property
    def of(self) -> Reach:
        return Reach(tenant=self.tenant, collections=(self.collection,))


def uploaded_as(source: str) -> tuple[str, str] | None:
    """The file id and the file's name, when a document came over the API."""
    file_id, slash, name = source.partition("/")
    return (file_id, name) if slash and _ID.fullmatch(file_id) else None


def uploaded_like(filename: str) -> str:
    """A pattern of SQL's `like` for the sources of all files that were uploaded under a name."""
    name = re.sub(r"([\\%_])", r"\\\1", filename)
    return f"file-{'_' * 32}/{name}"


# ------------------------------------------------------------ files


def save(filename: str, purpose: str, data: BinaryIO, of: Reach = EVERYTHING) -> UploadedFile:
    """Keep a file.

    Raises:
        InvalidInput: for a name that is none, or a file that is empty or larger than MAX_BYTES.
    """
    name = _checked_name(filename)
    root = _root()
    root.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".part-", dir=root))
    try:
        size = _copy(data, aside / name)
        file = UploadedFile(
            id=f"file-{uuid.uuid4().hex}",
            filename=name,
            bytes=size,
            created_at=int(time.time()),
            purpose=purpose,
            of=of,
        )
        (aside / _ABOUT).write_text(file.model_dump_json(), encoding="utf-8")
        aside.rename(root / file.id)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return file


def files(reach: Reach = EVERYTHING) -> list[UploadedFile]:
    """All within somebody's reach, newest first."""
    found = [_read(about, UploadedFile) for about in _root().glob(f"file-*/{_ABOUT}")]
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
    found = _read(_folder(file_id) / _ABOUT, UploadedFile) if _ID.fullmatch(file_id) else None
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


# ------------------------------------------------------------ collections


def attachments(collection: str, tenant: str | None = None) -> list[Attachment]:
    """What was put into a collection for a tenant (None: for any), newest first."""
    mark = ".in-*.json" if tenant is None else _mark(collection, tenant)
    found = [_read(path, Attachment) for path in _root().glob(f"file-*/{mark}")]
    return sorted(
        (a for a in found if a and a.collection == collection), key=lambda a: (a.created_at, a.file_id), reverse=True
    )


def attachment(file_id: str, collection: str, tenant: str) -> Attachment:
    """That of one file.

    Raises:
        NotFound: when the file is not in the collection.
    """
    path = _folder(file_id) / _mark(collection, tenant) if _ID.fullmatch(file_id) else None
    found = _read(path, Attachment) if path else None
    if found is None:
        raise NotFound(f"There is no file '{file_id[:80]}' in '{collection}'.")
    return found


def write_attachment(a: Attachment) -> None:
    """Note the state of a file in a collection.

    Raises:
        NotFound: when the file was deleted meanwhile.
    """
    folder = file(a.file_id).path.parent
    descriptor, aside = tempfile.mkstemp(prefix=".part-", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(a.model_dump_json())
    os.replace(aside, folder / _mark(a.collection, a.tenant))


def drop_attachment(a: Attachment) -> None:
    """Forget that a file was put into a collection."""
    (_folder(a.file_id) / _mark(a.collection, a.tenant)).unlink(missing_ok=True)


def attachments_of(file_id: str) -> list[Attachment]:
    """The collections that hold a file, and for whom."""
    found = [_read(path, Attachment) for path in _folder(file_id).glob(".in-*.json")]
    return [a for a in found if a]


def attributes_of(path: Path, collection: str, tenant: str) -> dict[str, Any]:
    """The metadata of an uploaded document, whose file this is."""
    found = _read(path.parent / _mark(collection, tenant), Attachment)
    return dict(found.attributes) if found else {}


# ------------------------------------------------------------ on the disk


def _root() -> Path:
    return settings().root / "uploads"


def _folder(file_id: str) -> Path:
    return _root() / file_id


def _mark(collection: str, tenant: str) -> str:
    """The hidden file beside an uploaded one that says how it stands with it in a collection."""
    return f".in-{hashlib.sha256(f'{collection} {tenant}'.encode()).hexdigest()[:24]}.json"


def _read(path: Path, kind: type[_Model]) -> _Model | None:
    with suppress(FileNotFoundError):  # somebody deleted it this very moment
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    return None


def _checked_name(filename: str) -> str:
    name = filename.replace("\\", "/").rpartition("/")[2].strip()
    is_printable = name.isprintable() and not name.startswith(".")
    if not name or not is_printable or len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
        raise InvalidInput(
            f"A file cannot be named {filename[:80]!r}.",
            f"Send a name of printable characters, {_MAX_NAME_BYTES} bytes at most, that does not start with a dot.",
        )
    return name


def _copy(data: BinaryIO, to: Path) -> int:
    size = 0
    with open(to, "wb") as out:
        while block := data.read(1 << 20):
            size += len(block)
            if size > MAX_BYTES:
                raise InvalidInput(
                    f"The file is larger than {MAX_BYTES >> 20} MiB.", "Bring it into the collection by plait ingest."
                )
            out.write(block)
    if not size:
        raise InvalidInput("The file is empty.", "Send one with text in it.")
    return size
