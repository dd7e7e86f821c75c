"""Which collections uploaded files were put into, and how it stands with them there."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from plait.documents.uploads import uploaded_files
from plait.documents.uploads.folders import folder_of, folders, is_file_id, unreadable
from plait.documents.uploads.reach import UNKNOWN, Reach
from plait.errors import NotFound
from plait.recipes import ChunkConfig
from plait.whole_files import write_whole

Attributes = dict[str, str | float | bool]
Status = Literal["in_progress", "completed", "failed", "cancelled"]


class ChunkSize(BaseModel):
    """How long the chunks of one file may be, in tokens of the embedding model, where that is its own."""

    model_config = ConfigDict(frozen=True)

    max_tokens: int
    overlap_tokens: int

    def within(self, reads_tokens: int) -> "ChunkSize":
        """The same for a model that reads no more than so many tokens of a text."""
        most = min(self.max_tokens, reads_tokens)
        return ChunkSize(max_tokens=most, overlap_tokens=min(self.overlap_tokens, most // 2))

    def over(self, chunk: ChunkConfig) -> ChunkConfig:
        """A collection's settings with this size."""
        return chunk.model_copy(update=self.model_dump())


class AttachmentOptions(BaseModel):
    """How a client wants a file put into a collection. `chunk_size`: None for the collection's."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    attributes: Attributes = {}
    chunk_size: ChunkSize | None = None


class Attachment(BaseModel):
    """A file in a collection, for a tenant.

    `attributes` become the document's metadata. `chunk_size`: None for the collection's. `batch`: of the files that
    were put there together. `error`: why it failed. `chunks` and `indexed_bytes`: once completed. `is_being_read`:
    noted before its file is read, so that one which ends the server is known after the restart. Where the state cannot
    be read and nobody can say which collection it is of, that and the tenant are empty.
    """

    model_config = ConfigDict(allow_inf_nan=False)  # JSON knows no other numbers

    file_id: str
    collection: str
    tenant: str
    created_at: int
    attributes: Attributes
    chunk_size: ChunkSize | None = None
    batch: str | None = None
    status: Status = "in_progress"
    error: str | None = None
    chunks: int = 0
    indexed_bytes: int = 0
    is_being_read: bool = False

    @property
    def of(self) -> Reach:
        return Reach(tenant=self.tenant, collections=(self.collection,))


def of_collection(collection: str, tenant: str | None = None) -> list[Attachment]:
    """What was put into a collection for a tenant (None: for any), newest first."""
    mark = ".in-*.json" if tenant is None else _mark(collection, tenant)
    places = [] if tenant is None else [(collection, tenant)]
    found = [_attachment_at(path, places) for folder in folders() for path in folder.glob(mark)]
    return sorted(
        (a for a in found if a and a.collection == collection), key=lambda a: (a.created_at, a.file_id), reverse=True
    )


class Tally(BaseModel):
    """The files of a collection, counted by status, and the bytes of those that are searchable."""

    counts: Counter[Status] = Counter()
    indexed_bytes: int = 0


def tallies(tenant: str) -> Mapping[str, Tally]:
    """What was put into each collection for a tenant, counted; nothing for a collection without files."""
    found: defaultdict[str, Tally] = defaultdict(lambda: Tally(counts=Counter()))
    for attachment in _everything():
        if attachment.tenant == tenant:
            tally = found[attachment.collection]
            tally.counts[attachment.status] += 1
            tally.indexed_bytes += attachment.indexed_bytes
    return found


def collections() -> set[str]:
    """The collections that files were put into; an empty name where that cannot be read."""
    return {attachment.collection for attachment in _everything()}


def _everything() -> Iterable[Attachment]:
    found = (_attachment_at(path, []) for folder in folders() for path in folder.glob(".in-*.json"))
    return (attachment for attachment in found if attachment)


def find(file_id: str, collection: str, tenant: str) -> Attachment:
    """That of one file.

    Raises:
        NotFound: when the file is not in the collection.
    """
    path = folder_of(file_id) / _mark(collection, tenant) if is_file_id(file_id) else None
    found = _attachment_at(path, [(collection, tenant)]) if path else None
    if found is None:
        raise NotFound(f"There is no file '{file_id[:80]}' in '{collection}'.")
    return found


def write(a: Attachment) -> None:
    """Note the state of a file in a collection.

    Raises:
        NotFound: when the file was deleted meanwhile.
        InsufficientStorage: when the disk is full; the state is then what it was.
    """
    write_whole(uploaded_files.file(a.file_id).path.parent / _mark(a.collection, a.tenant), a.model_dump_json())


def replace(before: Attachment, after: Attachment) -> bool:
    """Write another state over one, if that is still there.

    Raises:
        InsufficientStorage: when the disk is full; the state is then what it was.
    """
    try:
        if find(before.file_id, before.collection, before.tenant) != before:
            return False
        write(after)
    except NotFound:
        return False
    return True


def note(a: Attachment, **outcome: Any) -> None:
    """Write how it ended, unless the file was attached anew or taken out meanwhile."""
    replace(a, a.model_copy(update={"is_being_read": False, **outcome}))


def drop(a: Attachment) -> None:
    """Forget that a file was put into a collection."""
    (folder_of(a.file_id) / _mark(a.collection, a.tenant)).unlink(missing_ok=True)


def of_file(file_id: str, places: Iterable[tuple[str, str]] = ()) -> list[Attachment]:
    """The collections that hold a file, and for whom.

    Args:
        file_id: of the file.
        places: collections and tenants that a state which cannot be read may be of.
    """
    found = [_attachment_at(path, places) for path in folder_of(file_id).glob(".in-*.json")]
    return [a for a in found if a]


def attributes_of(path: Path, collection: str, tenant: str) -> dict[str, Any]:
    """The metadata of an uploaded document, whose file this is."""
    found = _attachment_at(path.parent / _mark(collection, tenant), [(collection, tenant)])
    return dict(found.attributes) if found else {}


def chunk_size_of(path: Path, collection: str, tenant: str) -> ChunkSize | None:
    """What the chunks of an uploaded document, whose file this is, are to be cut by; None: as the collection's."""
    found = _attachment_at(path.parent / _mark(collection, tenant), [(collection, tenant)])
    return found.chunk_size if found else None


def _mark(collection: str, tenant: str) -> str:
    """The hidden file beside an uploaded one that says how it stands with it in a collection."""
    name = f"{collection} {tenant}".encode(errors="surrogatepass")
    return f".in-{hashlib.sha256(name).hexdigest()[:24]}.json"


def _attachment_at(path: Path, places: Iterable[tuple[str, str]]) -> Attachment | None:
    """What a state file says, or that it cannot be read. `places`: collections and tenants that it may be of."""
    try:
        return Attachment.model_validate_json(path.read_bytes())
    except FileNotFoundError:  # somebody deleted it this very moment
        return None
    except (OSError, ValueError) as error:
        reason = unreadable(path, error)
    # Its name is a hash of what it is of, so what half a file says of that can be checked.
    candidates = [*places, *_places_in(path)]
    collection, tenant = next((c for c in candidates if _mark(*c) == path.name), (UNKNOWN, UNKNOWN))
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
