"""What has happened to which document, while a run goes on.

The stages of a run work in many processes; each says here what it did, and the driver looks at it for progress and for
the report. Saying the same twice, as a stage that is run again does, changes nothing but the count of chunks.
"""

import time
from dataclasses import dataclass

from plait.documents.failure import Failure


@dataclass(frozen=True)
class Progress:
    """How far a run is. `chunks_written` may count a chunk twice when a worker died and its work was done again."""

    documents_done: int
    chunks_written: int


class Ledger:
    """Outcomes by document. Lives in an actor of its own."""

    def __init__(self) -> None:
        self._failed: dict[str, Failure] = {}
        self._written: dict[str, int] = {}
        self._noted: dict[str, Failure] = {}
        self._skipped: set[str] = set()
        self._written_at: dict[str, float] = {}
        self._chunks_written = 0
        self._unknown_chunks = 0

    def record_failure(self, failure: Failure) -> None:
        """A document cannot be read."""
        self._failed[failure.source] = failure

    def record_noted(self, noted: Failure) -> None:
        """A document was read, but there is something to know about it."""
        self._noted[noted.source] = noted

    def record_skipped(self, sources: set[str]) -> None:
        """Documents need no writing: they repeat others, or are in the index already."""
        self._skipped |= sources

    def record_written(self, chunk_count: int, completed: dict[str, int]) -> None:
        """Chunks were written; `completed` are the documents that are now whole, with the count of their chunks."""
        self._chunks_written += chunk_count
        self._written.update(completed)
        self._written_at |= dict.fromkeys(completed, time.time())

    def record_unknown(self, chunk_count: int) -> None:
        """The embedding model hardly knows so many chunks."""
        self._unknown_chunks += chunk_count

    def unknown_chunks(self) -> int:
        """Chunks that the embedding model hardly knows; one may count twice, as in `progress`."""
        return self._unknown_chunks

    def progress(self) -> Progress:
        """How far the run is."""
        done = self._failed.keys() | self._written.keys() | self._skipped
        return Progress(len(done), self._chunks_written)

    def failures(self) -> list[Failure]:
        """Documents that could not be read, by name."""
        return [self._failed[source] for source in sorted(self._failed)]

    def noted(self) -> list[Failure]:
        """Documents that were read with something to know about them, by name."""
        return [self._noted[source] for source in sorted(self._noted.keys() - self._failed.keys())]

    def written(self) -> dict[str, int]:
        """Documents that are whole in the index, with the count of their chunks."""
        return dict(self._written)

    def written_at(self) -> dict[str, float]:
        """When documents became whole in the index: seconds since 1970, UTC."""
        return dict(self._written_at)
