"""Collections that clients made over the API: what they are called, whose they are, and when they end.

In: what a client says of a new collection. Out: the same, under an id that is the collection's name in the index. Each
is one file under PLAIT_HOME/collections (shared storage, where several machines serve), which every replica reads: a
collection is there for all of them once its file is, and gone when its file is. While it is being made a mark stands in
the place of its file. It knows no index.
"""

import os
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from plait.documents.uploads.folders import log_unreadable
from plait.documents.uploads.reach import Reach
from plait.settings import settings
from plait.whole_files import make_private, remove_leftovers, write_whole

_ID = re.compile(r"vs_[0-9a-f]{32}")
_DAY_S = 24 * 60 * 60
_TOUCH_EVERY_S = 60  # days are counted from the last use: no need to note each search


class MadeCollection(BaseModel):
    """`id`: its name in the index. `name`: what the client calls it. Times are seconds since 1970, UTC.

    `tenant`: the one that it is for; None: for all, each with documents of its own, as a configured collection is.
    `last_active_at`: when it was made, changed, searched, or given a file. `expires_after_days`: from then; None: it
    stays.
    """

    id: str
    name: str
    description: str | None = None
    metadata: dict[str, str] = {}
    tenant: str | None = None
    created_at: int
    expires_after_days: int | None = None
    last_active_at: int = 0

    @property
    def of(self) -> Reach:
        """What somebody must reach who may change it."""
        return Reach(tenant=self.tenant, collections=(self.id,))

    @property
    def expires_at(self) -> int | None:
        days = self.expires_after_days
        return None if days is None else self.last_active_at + days * _DAY_S


def is_made_id(name: str) -> bool:
    """It has the form of a collection's id that was made over the API."""
    return _ID.fullmatch(name) is not None


def new_id() -> str:
    return f"vs_{uuid.uuid4().hex}"


def begin(name: str) -> None:
    """Note that a collection is being made: `write` ends that, or `forget`, or `tidy` where the process is killed.

    Raises:
        InsufficientStorage: when the disk is full.
    """
    make_private(_root())
    write_whole(_making(name), "")


def begun() -> list[str]:
    """Collections that are being made."""
    return [file.stem for file in _root().glob("vs_*.making")]


def write(collection: MadeCollection) -> None:
    """Keep what is known of a collection; from now on it is there.

    Raises:
        InsufficientStorage: when the disk is full; what was known is as it was.
    """
    make_private(_root())
    write_whole(_file(collection.id), collection.model_dump_json(exclude={"last_active_at"}))
    _making(collection.id).unlink(missing_ok=True)


def find(name: str) -> MadeCollection | None:
    """The collection of this id; None when clients made none."""
    return _read(_file(name)) if is_made_id(name) else None


def made() -> list[MadeCollection]:
    """All of them, newest first. One whose file cannot be read is logged and left out."""
    found = [_read(file) for file in _root().glob("vs_*.json") if is_made_id(file.stem)]
    return sorted((c for c in found if c), key=lambda c: (c.created_at, c.id), reverse=True)


def forget(name: str) -> None:
    """Let a collection be there no more; it stands in `gone` until what an index holds of it is gone, too."""
    for file in (_file(name), _making(name)) if is_made_id(name) else ():
        with suppress(FileNotFoundError):  # clients did not make it, or it is gone already
            file.rename(_gone(name))


def gone() -> list[str]:
    """Collections that are forgotten, of which files or an index may be left."""
    return [file.stem for file in _root().glob("vs_*.gone") if is_made_id(file.stem)]


def bury(name: str) -> None:
    """Note that nothing is left of a collection that is gone."""
    _gone(name).unlink(missing_ok=True)


def touch(name: str) -> None:
    """Note that a collection is in use."""
    found = find(name)
    if found is not None and time.time() - found.last_active_at > _TOUCH_EVERY_S:
        with suppress(FileNotFoundError):  # deleted this very moment
            os.utime(_file(name))


def tidy() -> None:
    """Forget what killed processes left half-made; only who makes collections may ask for it."""
    remove_leftovers(_root())
    for name in begun():
        forget(name)


def _root() -> Path:
    return settings().root / "collections"


def _file(name: str) -> Path:
    return _root() / f"{name}.json"


def _making(name: str) -> Path:
    return _file(name).with_suffix(".making")


def _gone(name: str) -> Path:
    return _file(name).with_suffix(".gone")


def _read(file: Path) -> MadeCollection | None:
    try:
        found = MadeCollection.model_validate_json(file.read_bytes())
        return found.model_copy(update={"last_active_at": int(file.stat().st_mtime)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log_unreadable(file, error)
        return None
