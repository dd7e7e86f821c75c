"""What a comparison measured of its index, kept beside its answers: what is done already cannot be measured again."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from plait.evaluation.kept_json import read_kept
from plait.jobs.compare.findings import Indexing
from plait.whole_files import write_whole

_FILE = "measured.json"


class Measured(BaseModel):
    """The first full indexing, and the first that brought what changed into the index; None: not measured yet."""

    model_config = ConfigDict(frozen=True)

    indexing: Indexing | None = None
    update: Indexing | None = None

    @classmethod
    def read(cls, folder: Path) -> "Measured":
        """What a comparison's folder holds.

        Raises:
            DataError: when it cannot be read.
        """
        return read_kept(folder / _FILE, TypeAdapter(cls)) or cls()

    def kept(self, folder: Path, **new: Indexing) -> "Measured":
        """With what was measured now, where nothing was before; written to the folder."""
        fresh = {
            name: found for name, found in new.items() if getattr(self, name) is None and found.seconds is not None
        }
        if not fresh:
            return self
        both = self.model_copy(update=fresh)
        write_whole(folder / _FILE, both.model_dump_json(indent=1))
        return both
