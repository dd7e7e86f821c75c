"""What a comparison measured of its index, kept beside its answers: what is done already cannot be measured again."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from plait.evaluation.kept_json import read_kept
from plait.jobs.compare.findings import Indexing
from plait.whole_files import write_whole

_FILE = "measured.json"


class Measured(BaseModel):
    """How long it took to bring documents into the index: by their fingerprint, since a recipe may be edited."""

    model_config = ConfigDict(frozen=True)

    indexings: dict[str, Indexing] = {}

    @classmethod
    def read(cls, folder: Path) -> "Measured":
        """What a comparison's folder holds.

        Raises:
            DataError: when it cannot be read.
        """
        return read_kept(folder / _FILE, TypeAdapter(cls)) or cls()

    def kept(self, folder: Path, documents: str, found: Indexing) -> "Measured":
        """With what was measured now of these documents, where nothing was before; written to the folder."""
        if documents in self.indexings or found.seconds is None:
            return self
        both = Measured(indexings=self.indexings | {documents: found})
        write_whole(folder / _FILE, both.model_dump_json(indent=1))
        return both
