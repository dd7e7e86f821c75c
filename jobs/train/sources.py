"""Where training data comes from: files on any filesystem, read row by row.

In: a file, a folder, a glob, a URI or a hub id. Out: the list of its data files, and the rows of each with their line.
Memory stays bounded: a file of any size is read as a stream. It does not know what a row should look like.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq

from plait.errors import DataError, did_you_mean
from plait.models.fingerprint import file_sha256

_TABLES = (".jsonl", ".parquet")
_SUFFIXES = (*_TABLES, ".txt", ".md")
_PARQUET_ROWS_AT_ONCE = 1000
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_EXTRA_BY_SCHEME = {"s3": "s3", "gs": "gs", "gcs": "gs"}


@dataclass(frozen=True)
class DataFile:
    """One file: a local path, or a URI that fsspec opens."""

    uri: str

    @property
    def is_local(self) -> bool:
        return "://" not in self.uri


@dataclass(frozen=True)
class RawRow:
    """What stands on a line; `error` says why nothing could be read from it."""

    file: str
    line: int
    value: dict[str, Any]
    error: str = ""


def find_files(source: str) -> list[DataFile]:
    """The data files of a source, sorted.

    Args:
        source: a file, a folder (read with its subfolders: its tables, or its texts where it has no tables), a glob, a
            URI (s3://, gs://, hf://datasets/…), or a hub id (org/name) where no such folder exists.

    Raises:
        DataError: when there is nothing, or nothing that can be read.
    """
    location = source
    if "://" not in source:
        path = Path(source).expanduser()
        is_name = _HUB_ID.fullmatch(source) and not source.endswith(_SUFFIXES)
        is_hub_id = is_name and not path.exists() and not path.parent.exists()
        location = f"hf://datasets/{source}" if is_hub_id else str(path)
    files = [DataFile(uri) for uri in _listed(source, location)]
    if not files:
        raise DataError(f"'{source}' holds no data files.", f"It needs files that end in {', '.join(_SUFFIXES)}.")
    return files


def _listed(source: str, location: str) -> list[str]:
    scheme = location.partition("://")[0] if "://" in location else "file"
    try:
        filesystem, path = fsspec.core.url_to_fs(location)
        if any(sign in path for sign in "*?["):
            found = filesystem.glob(path)
        elif filesystem.isdir(path):
            found = _visible(filesystem.find(path), path)
            # Texts beside tables are about the data: a dataset of the hub always has a README.md.
            found = [f for f in found if f.endswith(_TABLES)] or found
        elif filesystem.exists(path):
            if not path.endswith(_SUFFIXES):
                raise DataError(f"'{source}' is no data file.", f"Plait reads {', '.join(_SUFFIXES)}.")
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
        raise DataError(f"'{source}' cannot be listed ({_one_line(error)}).") from error
    files = sorted(f for f in found if f.endswith(_SUFFIXES) and not Path(f).name.startswith("."))
    return files if scheme == "file" else [filesystem.unstrip_protocol(f) for f in files]


def _visible(files: Sequence[str], folder: str) -> list[str]:
    """Those that do not lie in a hidden folder, such as .ipynb_checkpoints."""
    return [f for f in files if not any(part.startswith(".") for part in f.removeprefix(folder).split("/"))]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _siblings(filesystem: Any, path: str) -> list[str]:
    folder = str(Path(path).parent)
    return [f for f in filesystem.ls(folder, detail=False) if f.endswith(_SUFFIXES)] if filesystem.isdir(folder) else []


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


def read_rows(file: DataFile) -> Iterator[RawRow]:
    """Every row of a file with its line (Parquet: its number), from 1; of a text file: the whole of it.

    Raises:
        DataError: when the file cannot be read at all.
    """
    try:
        with fsspec.open(file.uri, "rb") as stream:
            if file.uri.endswith(".parquet"):
                yield from _parquet_rows(file, stream)
            elif file.uri.endswith(".jsonl"):
                yield from _json_rows(file, stream)
            else:
                yield RawRow(file.uri, 1, {"text": stream.read().decode("utf-8")})
    except UnicodeDecodeError as error:
        raise DataError(f"'{file.uri}' is not UTF-8 text (byte {error.start}).") from error
    except DataError:
        raise
    except Exception as error:  # as in _listed
        raise DataError(f"'{file.uri}' cannot be read ({_one_line(error)}).") from error


def _json_rows(file: DataFile, stream: Any) -> Iterator[RawRow]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except UnicodeDecodeError as error:
            yield RawRow(file.uri, number, {}, f"is not UTF-8 text (byte {error.start})")
        except json.JSONDecodeError as error:
            yield RawRow(file.uri, number, {}, f"is not valid JSON ({error.msg} at column {error.colno})")
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
            yield RawRow(file.uri, number, {}, f"is not valid JSON that can be read ({_one_line(error)})")
        else:
            if isinstance(value, dict):
                yield RawRow(file.uri, number, value)
            else:
                yield RawRow(file.uri, number, {}, f"is no JSON object but a {type(value).__name__}")


def _parquet_rows(file: DataFile, stream: Any) -> Iterator[RawRow]:
    try:
        parquet = pq.ParquetFile(stream)
    except ValueError as error:  # pyarrow's own error is one
        raise DataError(f"'{file.uri}' is not a Parquet file ({error}).") from error
    number = 0
    for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS_AT_ONCE):
        for value in batch.to_pylist():
            number += 1
            yield RawRow(file.uri, number, {k: v for k, v in value.items() if v is not None})
