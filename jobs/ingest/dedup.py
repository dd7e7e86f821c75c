"""Dropping duplicates in a run: a guess while documents stream by, and the truth at its end.

Which documents are duplicates follows from the fingerprints of all documents in the sources, and from nothing else. So
the index of a run that was killed and run again, or of many runs after small changes, is that of a single undisturbed
one. In particular a document comes back when the one that it repeated is removed or changed.

A fingerprint needs the document's text, which workers read. To write from the first second, and to read every document
only once, a document is compared with those that were read before it (`DuplicateFilter`). When all are read, the truth
is found in the driver: what was let through too early is deleted, what was dropped wrongly is written. As documents are
read nearly in the order of their names, that is little.

Fingerprints of documents that have not changed come from the run before (fingerprints.py). Where they are lost,
documents already in the index are read once more, but not embedded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from plait.documents.read import DocumentFile
from plait.jobs.ingest.duplicates import Duplicates, Fingerprint
from plait.jobs.ingest.fingerprints import load_fingerprints, save_fingerprints
from plait.jobs.ingest.plan import Plan
from plait.local.machines import start_beside_driver
from plait.recipes import IngestRecipe


@dataclass(frozen=True)
class Candidate:
    """A document that was read; `version` is its content hash."""

    source: str
    version: str
    fingerprint: Fingerprint


class DuplicateFilter:
    """Tells workers which documents to write. Lives in an actor of its own."""

    def __init__(self, seen: Duplicates, indexed: frozenset[str]) -> None:
        self._seen = seen
        self._indexed = indexed
        self._candidates: dict[str, Candidate] = {}
        self._admitted: set[str] = set()

    def admit(self, candidates: Sequence[Candidate]) -> set[str]:
        """Those to write: that repeat no document read so far, and are not in the index already."""
        admitted = set()
        for candidate in candidates:
            self._candidates[candidate.source] = candidate
            is_new = self._seen.add(candidate.source, candidate.fingerprint) is None
            if is_new and candidate.source not in self._indexed:
                admitted.add(candidate.source)
        self._admitted |= admitted
        return admitted

    def outcome(self) -> tuple[list[Candidate], set[str]]:
        """All documents that were read, and the names of those that were ever let through."""
        return list(self._candidates.values()), self._admitted


class Deduplication:
    """What a run knows of the duplicates among its documents.

    Attributes:
        duplicates: the documents to drop, each with the one that it repeats: as far as fingerprints are known.
    """

    def __init__(self, recipe: IngestRecipe, plan: Plan) -> None:
        self._recipe, self._plan = recipe, plan
        self._is_off = recipe.dedup.drop == "none"
        known = {} if self._is_off else load_fingerprints(recipe)
        self._versions = dict(plan.versions)
        keys = {source: _key(source, version) for source, version in plan.versions.items()}
        self._fingerprints = {source: known[key] for source, key in keys.items() if key in known}
        self._seen = Duplicates(recipe.dedup)
        self.duplicates = self._seen.add_all(self._fingerprints)
        self._dropped = set(self.duplicates)
        self._admitted: set[str] = set()

    @property
    def to_write(self) -> list[DocumentFile]:
        """New and changed documents, without those known to be duplicates."""
        return [document for document in self._plan.changed if document.source not in self._dropped]

    @property
    def to_read(self) -> list[DocumentFile]:
        """Documents in the index whose fingerprints are not known."""
        if self._is_off:
            return []
        return [document for document in self._plan.unchanged if document.source not in self._fingerprints]

    def start_filter(self) -> Any:
        """A `DuplicateFilter` in a Ray actor; None: nothing is to be dropped."""
        if self._is_off:
            return None
        indexed = frozenset(document.source for document in self._plan.unchanged)
        return start_beside_driver(DuplicateFilter, self._seen, indexed)

    def learn(self, candidates: Sequence[Candidate], admitted: set[str], failed: Iterable[str]) -> None:
        """Take in what was read, let through, and could not be read, and find the truth."""
        self._fingerprints |= {candidate.source: candidate.fingerprint for candidate in candidates}
        self._versions |= {candidate.source: candidate.version for candidate in candidates}
        self._admitted |= admitted
        self._dropped |= {candidate.source for candidate in candidates} - admitted
        for source in failed:  # what can no longer be read is no reason to drop another document
            self._fingerprints.pop(source, None)
        self.duplicates = Duplicates(self._recipe.dedup).add_all(self._fingerprints)
        known = {_key(source, self._versions[source]): held for source, held in self._fingerprints.items()}
        save_fingerprints(self._recipe, known)

    @property
    def missing(self) -> list[DocumentFile]:
        """Documents that were dropped as duplicates of one that turned out to be a duplicate itself."""
        wrongly = self._dropped - self.duplicates.keys()
        return [document for document in self._plan.changed if document.source in wrongly]

    def superfluous(self, indexed: Mapping[str, object]) -> set[str]:
        """Duplicates of which the index may hold something: from before (`indexed`), or let through in this run."""
        return self.duplicates.keys() & (indexed.keys() | self._admitted)


def _key(source: str, version: str) -> str:
    """What a fingerprint is kept under: the same bytes are another text under a suffix that is read otherwise."""
    return version + PurePosixPath(source).suffix.lower()
