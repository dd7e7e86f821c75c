"""Find documents and read their bytes.

In: files and folders. Out: for every document the name by which the index knows it, then its bytes and the hash that
tells whether it changed. It does not know what the bytes mean.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from plait.errors import DataError, InvalidInput
from plait.jobs.ingest.formats import FORMATS

FILE_SCHEMA = pa.schema([("source", pa.string()), ("path", pa.string())])
"""Documents to read."""


@dataclass(frozen=True)
class DocumentFile:
    """A document on disk. `source` is its path inside the folder it was found in, so an index moves with its folder."""

    source: str
    path: Path


@dataclass(frozen=True)
class Found:
    """The documents of some sources, by name, and how many files of which suffix were left out as unknown."""

    documents: tuple[DocumentFile, ...]
    skipped: dict[str, int]


def find_documents(sources: Sequence[str]) -> Found:
    """Every file of a known format in the sources, hidden files and folders left out.

    Raises:
        DataError: when a source does not exist, or there is no document in any.
        InvalidInput: when a source is a file of an unknown format, or two documents have the same name.
    """
    paths: dict[str, Path] = {}
    skipped: Counter[str] = Counter()
    for given in sources:
        root = Path(given).expanduser()
        if not root.exists():
            raise DataError(f"There is no file or folder '{given}'.", "Correct the recipe's sources.")
        if root.is_file() and root.suffix.lower() not in FORMATS:
            raise InvalidInput(f"'{given}' is of no known format.", f"Known: {', '.join(sorted(FORMATS))}.")
        for path in [root] if root.is_file() else _files_below(root):
            if path.suffix.lower() not in FORMATS:
                skipped[path.suffix.lower() or "(no suffix)"] += 1
                continue
            source = path.name if root.is_file() else path.relative_to(root).as_posix()
            if source in paths:
                raise InvalidInput(
                    f"Two documents are named '{source}': '{paths[source]}' and '{path}'.",
                    "Ingest a folder that holds both, or use two tenants or collections.",
                )
            paths[source] = path.absolute()
    if not paths:
        raise DataError(
            f"The sources hold no documents: {', '.join(sources)}.", f"Known formats: {', '.join(sorted(FORMATS))}."
        )
    return Found(tuple(DocumentFile(source, paths[source]) for source in sorted(paths)), dict(skipped))


def _files_below(folder: Path) -> list[Path]:
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return files


def content_hash(data: bytes, settings_hash: str) -> str:
    """Hash of a document's bytes and of the settings that make its chunks: equal hashes, equal chunks."""
    return hashlib.sha256(settings_hash.encode() + data).hexdigest()
