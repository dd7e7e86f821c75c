"""Where the jobs of clients are kept: one folder a job under PLAIT_HOME (shared storage, where several machines serve).

In: a job. Out: the same, on every replica and after a restart of everything, for whoever reaches it. The API adds a job
and notes that it is to end; only the job runner writes what becomes of it, so no two processes write one file.
"""

import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from plait.documents.uploads.folders import log_unreadable
from plait.documents.uploads.reach import EVERYTHING, Reach
from plait.errors import NotFound
from plait.settings import settings
from plait.whole_files import make_private, remove_leftovers, whole_folder, write_whole

_STATE, _TO_END = "job.json", "to-end"


class ClientJob(BaseModel, ABC):
    """What all jobs of clients have. Times are seconds since 1970, UTC.

    Attributes:
        ordered_ns: nanoseconds since 1970, by which those of one second are in their order.
        of: within whose reach it was ordered.
        owner: who ordered it, as `Caller.owner` says.
        submission_id: the Ray job that does it now, or did it last; None: none was submitted yet.
        submissions: how many Ray jobs were submitted for it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    created_at: int
    ordered_ns: int = Field(default_factory=time.time_ns)
    of: Reach
    owner: str
    metadata: dict[str, str] = {}
    submission_id: str | None = None
    submissions: int = 0

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether nothing more becomes of it."""


J = TypeVar("J", bound=ClientJob)


@dataclass(frozen=True)
class JobFolders(Generic[J]):
    """The jobs of one kind.

    Attributes:
        kind: what a job of it is.
        name: of their folder under PLAIT_HOME.
        prefix: of their ids.
        what: one of them, in sentences.
        listing: the route that lists them.
    """

    kind: type[J]
    name: str
    prefix: str
    what: str
    listing: str

    @property
    def root(self) -> Path:
        return settings().root / self.name

    def new_id(self) -> str:
        return f"{self.prefix}{uuid.uuid4().hex[:24]}"

    def folder(self, job_id: str) -> Path:
        return self.root / job_id

    def add(self, job: J, files: Mapping[str, str]) -> None:
        """Keep a new job, with files beside its state.

        Raises:
            InsufficientStorage: when the disk is full; then there is no job.
        """
        make_private(self.root)
        with whole_folder(self.folder(job.id)) as folder:
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8")
            (folder / _STATE).write_text(job.model_dump_json(), encoding="utf-8")

    def write(self, job: J) -> None:
        """Keep what has become of a job; only the job runner may.

        Raises:
            InsufficientStorage: when the disk is full; what was known is as it was.
        """
        write_whole(self.folder(job.id) / _STATE, job.model_dump_json())

    def find(self, job_id: str, reach: Reach = EVERYTHING) -> J:
        """The job of this id.

        Raises:
            NotFound: when there is none within reach.
        """
        found = self.read(job_id) if re.fullmatch(f"{self.prefix}[0-9a-f]{{24}}", job_id) else None
        if found is None or not reach.holds(found.of):
            raise NotFound(f"There is no {self.what} '{job_id[:80]}'.", f"GET {self.listing} lists what there is.")
        return found

    def jobs(self, reach: Reach = EVERYTHING) -> list[J]:
        """All within reach, newest first."""
        found = [job for job_id in self.ids() if (job := self.read(job_id)) is not None]
        within = (job for job in found if reach.holds(job.of))
        return sorted(within, key=lambda job: (job.created_at, job.ordered_ns), reverse=True)

    def ids(self) -> Iterator[str]:
        """The ids of all."""
        return (folder.name for folder in self.root.glob(f"{self.prefix}*"))

    def ask_to_end(self, job_id: str) -> None:
        """Note that a job is to end before it is done."""
        (self.folder(job_id) / _TO_END).touch()

    def to_end_since(self, job_id: str) -> int | None:
        """When it was noted that a job is to end; None: it was not."""
        try:
            return int((self.folder(job_id) / _TO_END).stat().st_mtime)
        except FileNotFoundError:
            return None

    def tidy(self) -> None:
        """Remove what killed processes left half-written."""
        for folder in (self.root, *map(self.folder, self.ids())):
            remove_leftovers(folder)

    def read(self, job_id: str) -> J | None:
        """The job of a folder; None for one whose state cannot be read, which is logged: it costs only itself."""
        state = self.folder(job_id) / _STATE
        try:
            return self.kind.model_validate_json(state.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log_unreadable(state, error)
            return None
