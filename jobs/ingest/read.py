"""Find documents, and tell by a hash whether one has changed.

In: the sources of a recipe. Out: for every document the name by which the index knows it, and where its bytes are. It
does not know what the bytes mean.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

import pyarrow as pa

from plait.errors import DataError, InvalidInput
from plait.jobs.ingest.formats import FORMATS
from plait.jobs.ingest.stores import StoredFile, list_files

FILE_SCHEMA = pa.schema([("source", pa.string()), ("uri", pa.string()), ("etag", pa.string())])
"""Documents to read."""


@dataclass(frozen=True)
class DocumentFile:
    """A document in a file.

    Attributes:
        source: its name: the path inside the folder it was found in, so an index moves with its folder.
        uri: an absolute path, or a URI.
        etag: what its store says to tell its versions apart; empty where one must read it to know.
    """

    source: str
    uri: str
    etag: str = ""


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
    files: dict[str, StoredFile] = {}
    skipped: Counter[str] = Counter()
    for source in sources:
        listing = list_files(source)
        for file in listing.files:
            suffix = _suffix(file)
            if suffix in FORMATS:
                _add(file, files)
            elif listing.is_one_file:
                raise InvalidInput(f"'{source}' is of no known format.", f"Known: {', '.join(sorted(FORMATS))}.")
            else:
                skipped[suffix or "(no suffix)"] += 1
    if not files:
        raise DataError(
            f"The sources hold no documents: {', '.join(sources)}.", f"Known formats: {', '.join(sorted(FORMATS))}."
        )
    return Found(tuple(DocumentFile(name, files[name].uri, files[name].etag) for name in sorted(files)), dict(skipped))


def _suffix(file: StoredFile) -> str:
    return PurePosixPath(file.name).suffix.lower()


def _add(file: StoredFile, files: dict[str, StoredFile]) -> None:
    same = files.setdefault(file.name, file)
    if same is not file and same.uri != file.uri:
        raise InvalidInput(
            f"Two documents are named '{file.name}': '{same.uri}' and '{file.uri}'.",
            "Ingest a folder that holds both, or use two tenants or collections.",
        )


def file_table(documents: Sequence[DocumentFile]) -> pa.Table:
    """Documents as a table of FILE_SCHEMA."""
    return pa.Table.from_pylist([asdict(document) for document in documents], schema=FILE_SCHEMA)


def content_hash(data: bytes, settings_hash: str) -> str:
    """Hash of a document's bytes (or its etag) and of the settings that make its chunks: equal hashes, equal chunks."""
    return hashlib.sha256(settings_hash.encode() + data).hexdigest()
