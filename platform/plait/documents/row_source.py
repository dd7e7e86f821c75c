"""Where rows come from: files on any filesystem, or whatever else gives rows in parts.

In: a source as it stands in a recipe: files, a folder, a glob, a URI or a hub id. Out: a `RowSource`. It does not know
what a row should look like.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plait.documents.raw_rows import RawRow, caution_of, read_rows
from plait.documents.row_files import SUFFIXES, TEXTS, is_data, suffix_of
from plait.documents.stores import StoredFile, is_pattern, is_remote, list_files, version_of
from plait.errors import DataError
from plait.models.fingerprint import file_sha256

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# In a folder, files of the first kind that it has are the data. JSON and CSV beside JSON Lines are most often about it.
_KINDS = ((".jsonl", ".ndjson", ".parquet"), (".json", ".csv", ".tsv"))
_SHOWN = 3
# What the `datasets` library writes beside its tables.
_ABOUT_DATA = frozenset(("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"))
_ENDINGS = f"{', '.join(SUFFIXES)} (or one of these and .gz, .bz2, .xz)"


class RowSource(Protocol):
    """Rows in parts, each of which one task reads, on whichever machine. Parts and rows always have the same order."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def parts(self) -> Sequence[str]:
        """Names of the parts."""

    def rows(self, part: str) -> Iterator[RawRow]:
        """The rows of a part.

        Raises:
            DataError: when it cannot be read at all.
        """

    def notes(self) -> Iterator[str]:
        """What a reader should know before anything is read, a sentence each."""

    def fingerprint(self) -> str:
        """Hex digest that changes when a row does."""


@dataclass(frozen=True)
class FileRows:
    """The rows of files, sorted; a file is a part. `left_out`: names of those in their folder that are not read."""

    files: tuple[StoredFile, ...]
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"'{self.files[0].uri}'{more}"

    @property
    def parts(self) -> Sequence[str]:
        return [file.uri for file in self.files]

    def rows(self, part: str) -> Iterator[RawRow]:
        return read_rows(part)

    def notes(self) -> Iterator[str]:
        if self.left_out:
            more = ", …" if len(self.left_out) > _SHOWN else ""
            shown = f"{', '.join(self.left_out[:_SHOWN])}{more} ({len(self.left_out)})"
            yield f"not read: {shown}; a pattern can name them"
        for part in self.parts:
            if caution := caution_of(part):
                yield f"{part}: {caution}"

    def fingerprint(self) -> str:
        """Of local files from their content, of remote ones from what their store says of them."""
        digest = hashlib.sha256()
        for uri in self.parts:
            digest.update((f"{uri}:{version_of(uri)}" if is_remote(uri) else file_sha256(Path(uri))).encode())
        return digest.hexdigest()


def find_rows(source: str) -> FileRows:
    """What a source holds.

    Args:
        source: a file, a folder (read with its subfolders: its JSON Lines and Parquet, or its JSON and CSV where it has
            none, or its texts), a glob, a URI (s3://, gs://, hf://datasets/…), or a hub id (org/name) where no such
            folder exists.

    Raises:
        DataError: when there is nothing, or nothing that can be read.
    """
    listing = list_files(_location(source), may_link_outside=True)
    data = [file for file in listing.files if is_data(file.name)]
    if listing.is_one_file and not data:
        raise DataError(f"'{source}' is no data file.", f"Plait reads {_ENDINGS}.")
    left_out = [f"{each.name} ({each.reason})" for each in listing.left_out]
    if not listing.is_one_file and not is_pattern(source):
        data, others = _of_folder(listing.files, data)
        left_out = [*others, *left_out]
    if not data:
        but = f" It holds {', '.join(left_out[:_SHOWN])}." if left_out else ""
        raise DataError(f"'{source}' holds no data files.{but}", f"It needs files that end in {_ENDINGS}.")
    return FileRows(tuple(data), tuple(left_out))


def _location(source: str) -> str:
    """Where a source lies: a hub id becomes a URI."""
    if "://" in source:
        return source
    path = Path(source).expanduser()
    is_name = _HUB_ID.fullmatch(source) and not is_data(source)
    is_hub_id = is_name and not path.exists() and not path.parent.exists()
    return f"hf://datasets/{source}" if is_hub_id else str(path)


def _of_folder(files: Sequence[StoredFile], data: Sequence[StoredFile]) -> tuple[list[StoredFile], list[str]]:
    """The data of a folder, and the names of what is there besides: texts beside tables are about the data, and a
    dataset of the hub always has a README.md."""
    about = {file for file in files if Path(file.name).name in _ABOUT_DATA}
    data = [file for file in data if file not in about]
    kinds = [[file for file in data if suffix_of(file.name)[0] in kind] for kind in _KINDS]
    found = next((of_kind for of_kind in kinds if of_kind), data)
    has_tables = any(kinds)
    others = [file.name for file in files if file not in about.union(found)]
    return list(found), [name for name in others if suffix_of(name)[0] not in TEXTS or not has_tables]
