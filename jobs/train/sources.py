"""Where training data comes from: files on any filesystem.

In: a file, a folder, a glob, a URI or a hub id. Out: the list of its data files, and what lies beside them and is not
read. It does not read rows, nor know what one should look like.
"""

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from plait.errors import DataError, did_you_mean
from plait.jobs.train.readers import SUFFIXES, DataFile, is_data, is_table, one_line, suffix_of
from plait.models.fingerprint import file_sha256

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_EXTRA_BY_SCHEME = {"s3": "s3", "gs": "gs", "gcs": "gs"}
# In a folder, files of the first kind that it has are the data. JSON and CSV beside JSON Lines are most often about it.
_KINDS = ((".jsonl", ".ndjson", ".parquet"), (".json", ".csv", ".tsv"))
_SHOWN = 3
_PATTERN = "*?["
# What the `datasets` library writes beside its tables.
_ABOUT_DATA = frozenset(("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"))


@dataclass(frozen=True)
class Source:
    """The files of a source, sorted, and the names of those in its folder that are not read."""

    files: tuple[DataFile, ...]
    left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What is not read, in a sentence; empty where there is none."""
        if not self.left_out:
            return ""
        more = ", …" if len(self.left_out) > _SHOWN else ""
        return f"not read: {', '.join(self.left_out[:_SHOWN])}{more} ({len(self.left_out)}); a pattern can name them"


def find_files(source: str) -> list[DataFile]:
    """The data files of a source; raises as `find_source`."""
    return list(find_source(source).files)


def find_source(source: str) -> Source:
    """What a source holds.

    Args:
        source: a file, a folder (read with its subfolders: its JSON Lines and Parquet, or its JSON and CSV where it has
            none, or its texts), a glob, a URI (s3://, gs://, hf://datasets/…), or a hub id (org/name) where no such
            folder exists.

    Raises:
        DataError: when there is nothing, or nothing that can be read.
    """
    location = source
    if "://" not in source:
        path = Path(source).expanduser()
        is_name = _HUB_ID.fullmatch(source) and not is_data(source)
        is_hub_id = is_name and not path.exists() and not path.parent.exists()
        location = f"hf://datasets/{source}" if is_hub_id else str(path)
    found = _listed(source, location)
    if not found.files:
        raise DataError(f"'{source}' holds no data files.{_but(found)}", f"It needs files that end in {_ENDINGS}.")
    return found


_ENDINGS = f"{', '.join(SUFFIXES)} (or one of these and .gz, .bz2, .xz)"


def _but(found: Source) -> str:
    return f" It holds {', '.join(found.left_out[:_SHOWN])}." if found.left_out else ""


def _listed(source: str, location: str) -> Source:
    scheme = location.partition("://")[0] if "://" in location else "file"
    left_out: list[str] = []
    try:
        filesystem, path = fsspec.core.url_to_fs(location)
        is_pattern = any(sign in path for sign in _PATTERN)
        if is_pattern and not filesystem.exists(path):  # a file may be called data[1].jsonl
            base = re.split(f"[{re.escape(_PATTERN)}]", path, maxsplit=1)[0].rpartition("/")[0]
            wants_hidden = _is_hidden(path.removeprefix(base))
            found = [
                f
                for f in sorted(filesystem.glob(path))
                if is_data(f) and (wants_hidden or not _is_hidden(f.removeprefix(base)))
            ]
        elif filesystem.isdir(path):
            found, left_out = _of_folder(sorted(filesystem.find(path)), path)
        elif filesystem.exists(path):
            if not is_data(path):
                raise DataError(f"'{source}' is no data file.", f"Plait reads {_ENDINGS}.")
            found = [path]
        else:
            near = did_you_mean(Path(path).name, [Path(p).name for p in _siblings(filesystem, path)])
            raise DataError(f"There is no data file '{source}'.", near or "Set data.train (or data.eval) to one.")
    except (ImportError, ValueError) as error:
        extra = _EXTRA_BY_SCHEME.get(scheme)
        remedy = f"Run: pip install 'plait[{extra}]'" if extra else "Give a path, s3://, gs:// or hf://datasets/…"
        raise DataError(f"'{source}' cannot be opened ({error}).", remedy) from error
    except DataError:
        raise
    except Exception as error:  # every store has errors of its own: botocore's, httpx's, gcsfs's are no OSErrors
        raise DataError(f"'{source}' cannot be listed ({one_line(error)}).") from error
    if scheme != "file":
        return Source(tuple(DataFile(filesystem.unstrip_protocol(f)) for f in found), tuple(left_out))
    no_files = {f: what for f in found if (what := _what_else(f))}
    if no_files and len(no_files) == len(found):
        name, what = next(iter(no_files.items()))
        raise DataError(f"'{name}' is {what}, and no file that can be read twice.", "Copy its content to a file.")
    left_out += [f"{Path(f).name} ({what})" for f, what in no_files.items()]
    return Source(tuple(DataFile(f) for f in found if f not in no_files), tuple(left_out))


def _of_folder(files: Sequence[str], folder: str) -> tuple[list[str], list[str]]:
    """The data of a folder, and the names of what is there besides. Hidden files and folders (.ipynb_checkpoints) are
    neither, and texts beside tables are about the data: a dataset of the hub always has a README.md."""
    inner = {f: f.removeprefix(folder).lstrip("/") for f in files}
    seen = [f for f in files if not _is_hidden(inner[f])]
    data = [f for f in seen if is_data(f) and Path(f).name not in _ABOUT_DATA]
    kinds = [[f for f in data if suffix_of(f)[0] in kind] for kind in _KINDS]
    found = next((of_kind for of_kind in kinds if of_kind), data)
    has_tables = any(kinds)
    others = [f for f in seen if f not in set(found) and Path(f).name not in _ABOUT_DATA]
    return found, [_named(f, inner[f]) for f in others if is_table(f) or not is_data(f) or not has_tables]


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _named(file: str, name: str) -> str:
    is_link = os.path.isdir(file) and os.path.islink(file)
    return f"{name} (a link to a folder)" if is_link else name


def _what_else(file: str) -> str:
    """What a local path is that is no regular file; empty for one that is."""
    try:
        mode = os.stat(file).st_mode
    except OSError as error:
        return f"a link to nothing ({error.strerror})" if os.path.islink(file) else ""
    if stat.S_ISREG(mode):
        return ""
    return "a named pipe" if stat.S_ISFIFO(mode) else "a folder" if stat.S_ISDIR(mode) else "a device or a socket"


def _siblings(filesystem: Any, path: str) -> list[str]:
    folder = str(Path(path).parent)
    return [f for f in filesystem.ls(folder, detail=False) if is_data(f)] if filesystem.isdir(folder) else []


def fingerprint(files: Sequence[DataFile]) -> str:
    """Hex digest that changes when a file does: of local files the content, of remote ones what their store says."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_local:
            digest.update(file_sha256(Path(file.uri)).encode())
        else:
            filesystem, path = fsspec.core.url_to_fs(file.uri)
            digest.update(f"{file.uri}:{filesystem.ukey(path)}".encode())
    return digest.hexdigest()
