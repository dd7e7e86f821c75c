"""Files that came over the API, and which collections they were put into.

In: bytes with a name. Out: the same, under an id, as long as they are not deleted. All lies in PLAIT_HOME/uploads (on
shared storage, where several machines serve), one folder a file; what belongs together is put there by one rename. A
file of state that cannot be read costs only its own entry: that is listed with its error, and can be deleted. It knows
neither HTTP nor Milvus.
"""

import hashlib
import logging
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from plait.errors import InvalidInput, NotFound, TooLarge
from plait.settings import settings
from plait.whole_files import make_private, remove_leftovers, whole_folder, write_whole

_log = logging.getLogger(__name__)

MAX_BYTES = 100 * 1024 * 1024
"""Larger documents are for ingestion, which streams."""

_ID = re.compile(r"file-[0-9a-f]{32}")
_MAX_NAME_BYTES = 200  # Linux takes 255, and a part of it is ours
_ABOUT = ".file.json"

Attributes = dict[str, str | float | bool]


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
    """`created_at`: seconds since 1970, UTC. `bytes`: its size. `of`: within whose reach it was sent.

    `error`: why what is known of it cannot be read; then the rest is what the disk says.
    """

    id: str
    filename: str
    bytes: int
    created_at: int
    purpose: str
    of: Reach = Reach()
    error: str | None = None

    @property
    def source(self) -> str:
        """The name of the document in an index: two files may have the same name, but not the same id."""
        return f"{self.id}/{self.filename}"

    @property
    def path(self) -> Path:
        return _folder(self.id) / self.filename


EVERYTHING = Reach()
_UNKNOWN = ""
_NOBODY = Reach(tenant=_UNKNOWN)
"""What only a key that may do everything reaches: nobody knows whose it is."""


class Attachment(BaseModel):
    """A file in a collection, for a tenant.

    `attributes` become the document's metadata. `batch`: of the files that were put there together. `error`: why it
    failed. `chunks` and `indexed_bytes`: once completed. `is_being_read`: noted before its file is read, so that one
    which ends the server is known after the restart. Where the state cannot be read and nobody can say which
    collection it is of, that and the tenant are empty.
    """

    model_config = ConfigDict(allow_inf_nan=False)  # JSON knows no other numbers

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
    is_being_read: bool = False

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
        InvalidInput: for a name that is none, or a file that is empty.
        TooLarge: for one that is larger than MAX_BYTES.
        InsufficientStorage: when the disk is full.
    """
    name = _checked_name(filename)
    make_private(_root())
    file_id = f"file-{uuid.uuid4().hex}"
    with whole_folder(_folder(file_id)) as folder:
        file = UploadedFile(
            id=file_id,
            filename=name,
            bytes=_copy(data, folder / name),
            created_at=int(time.time()),
            purpose=purpose,
            of=of,
        )
        (folder / _ABOUT).write_text(file.model_dump_json(exclude={"error"}), encoding="utf-8")
    return file


def files(reach: Reach = EVERYTHING) -> list[UploadedFile]:
    """All within somebody's reach, newest first."""
    found = [_file_in(folder) for folder in _folders()]
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
    found = _file_in(_folder(file_id)) if _ID.fullmatch(file_id) else None
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
    if not _root().is_dir():
        return
    make_private(_root())
    for folder in (_root(), *_folders()):
        remove_leftovers(folder)
    for gone in _root().glob(".gone-*"):
        shutil.rmtree(gone, ignore_errors=True)


# ------------------------------------------------------------ collections


def attachments(collection: str, tenant: str | None = None) -> list[Attachment]:
    """What was put into a collection for a tenant (None: for any), newest first."""
    mark = ".in-*.json" if tenant is None else _mark(collection, tenant)
    places = [] if tenant is None else [(collection, tenant)]
    found = [_attachment_at(path, places) for folder in _folders() for path in folder.glob(mark)]
    return sorted(
        (a for a in found if a and a.collection == collection), key=lambda a: (a.created_at, a.file_id), reverse=True
    )


def attachment(file_id: str, collection: str, tenant: str) -> Attachment:
    """That of one file.

    Raises:
        NotFound: when the file is not in the collection.
    """
    path = _folder(file_id) / _mark(collection, tenant) if _ID.fullmatch(file_id) else None
    found = _attachment_at(path, [(collection, tenant)]) if path else None
    if found is None:
        raise NotFound(f"There is no file '{file_id[:80]}' in '{collection}'.")
    return found


def write_attachment(a: Attachment) -> None:
    """Note the state of a file in a collection.

    Raises:
        NotFound: when the file was deleted meanwhile.
        InsufficientStorage: when the disk is full; the state is then what it was.
    """
    write_whole(file(a.file_id).path.parent / _mark(a.collection, a.tenant), a.model_dump_json())


def drop_attachment(a: Attachment) -> None:
    """Forget that a file was put into a collection."""
    (_folder(a.file_id) / _mark(a.collection, a.tenant)).unlink(missing_ok=True)


def attachments_of(file_id: str, places: Iterable[tuple[str, str]] = ()) -> list[Attachment]:
    """The collections that hold a file, and for whom.

    Args:
        file_id: of the file.
        places: collections and tenants that a state which cannot be read may be of.
    """
    found = [_attachment_at(path, places) for path in _folder(file_id).glob(".in-*.json")]
    return [a for a in found if a]


def attributes_of(path: Path, collection: str, tenant: str) -> dict[str, Any]:
    """The metadata of an uploaded document, whose file this is."""
    found = _attachment_at(path.parent / _mark(collection, tenant), [(collection, tenant)])
    return dict(found.attributes) if found else {}


# ------------------------------------------------------------ on the disk


def _root() -> Path:
    return settings().root / "uploads"


def _folder(file_id: str) -> Path:
    return _root() / file_id


def _mark(collection: str, tenant: str) -> str:
    """The hidden file beside an uploaded one that says how it stands with it in a collection."""
    name = f"{collection} {tenant}".encode(errors="surrogatepass")
    return f".in-{hashlib.sha256(name).hexdigest()[:24]}.json"


def _folders() -> Iterable[Path]:
    return (folder for folder in _root().glob("file-*") if _ID.fullmatch(folder.name))


def _file_in(folder: Path) -> UploadedFile | None:
    about = folder / _ABOUT
    try:
        return UploadedFile.model_validate_json(about.read_bytes())
    except FileNotFoundError:  # somebody deleted it this very moment
        return None
    except (OSError, ValueError) as error:
        return _file_on_disk(folder, _told(about, error))


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
        of=_NOBODY,
        error=error,
    )


def _attachment_at(path: Path, places: Iterable[tuple[str, str]]) -> Attachment | None:
    """What a state file says, or that it cannot be read. `places`: collections and tenants that it may be of."""
    try:
        return Attachment.model_validate_json(path.read_bytes())
    except FileNotFoundError:  # somebody deleted it this very moment
        return None
    except (OSError, ValueError) as error:
        reason = _told(path, error)
    # Its name is a hash of what it is of, so what half a file says of that can be checked.
    candidates = [*places, *_places_in(path)]
    collection, tenant = next((c for c in candidates if _mark(*c) == path.name), (_UNKNOWN, _UNKNOWN))
    return Attachment(
        file_id=path.parent.name,
        collection=collection,
        tenant=tenant,
        created_at=0,
        attributes={},
        status="failed",
        error=reason,
    )


def _places_in(path: Path) -> list[tuple[str, str]]:
    try:
        values = from_json(path.read_bytes(), allow_inf_nan=True, allow_partial=True)
    except (OSError, ValueError):
        return []
    if not isinstance(values, dict):
        return []
    return [(str(values.get("collection")), str(values.get("tenant")))]


def _told(path: Path, error: Exception) -> str:
    """Why a state file cannot be read, in a sentence that is logged once."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        reason = f"{field}: {first['msg']}" if field else first["msg"]
    else:
        reason = getattr(error, "strerror", None) or str(error)
    _log_once(path, reason)
    return f"What the server noted of this file cannot be read ({reason}). Delete it and send it again."


@cache
def _log_once(path: Path, reason: str) -> None:
    _log.error("'%s' cannot be read (%s); all other files are served", path, reason)


def _checked_name(filename: str) -> str:
    name = unicodedata.normalize("NFC", filename.replace("\\", "/").rpartition("/")[2].strip())
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
                raise TooLarge(
                    f"The file is larger than {MAX_BYTES >> 20} MiB.", "Bring it into the collection by plait ingest."
                )
            out.write(block)
    if not size:
        raise InvalidInput("The file is empty.", "Send one with text in it.")
    return size
