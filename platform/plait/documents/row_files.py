"""Data files read row by row: JSON Lines, JSON, Parquet, CSV and plain text, compressed or not.

In: the path or URI of a file. Out: its rows as they are written, each with its line. Memory stays bounded: a file of
any size is read as a stream. It does not know what a row should look like.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from plait.documents.csv_files import CsvError, CsvFile, CsvRecord
from plait.documents.json_values import BadFile, json_values
from plait.documents.stores import open_file
from plait.errors import DataError, first_line

_PARQUET_ROWS_AT_ONCE = 1000
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}
_SPEAKERS = ({"role", "content"}, {"from", "value"})


class BadRow(ValueError):
    """A row that cannot be used; its text goes after 'file:line '."""


@dataclass(frozen=True)
class RawRow:
    """What stands on a line: an object as JSON, or whatever it is; `error` says why it cannot be read at all."""

    file: str
    line: int
    text: str
    error: str = ""

    def values(self) -> dict[str, Any]:
        """The fields of the row.

        Raises:
            BadRow: when it is no JSON object.
        """
        return row_values(self.text, self.error)


def row_values(text: str, error: str = "") -> dict[str, Any]:
    """The fields of a row that is written as JSON.

    Raises:
        BadRow: when it is no JSON object, or with `error` where there is one.
    """
    if error:
        raise BadRow(error)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as broken:
        raise BadRow(f"is not valid JSON ({broken.msg} at column {broken.colno})") from None
    except (ValueError, RecursionError) as broken:  # a number of thousands of digits, brackets without end
        raise BadRow(f"is not valid JSON that can be read ({first_line(broken)})") from None
    if not isinstance(value, dict):
        hint = "; a file that is one array must end in .json" if isinstance(value, list) else ""
        raise BadRow(f"is no JSON object but a {type(value).__name__}{hint}")
    return value


def suffix_of(name: str) -> tuple[str, str]:
    """The suffix that says what a file holds, and that of its compression, in lower case; empty where there is none."""
    path = PurePosixPath(name.lower())
    compression = path.suffix if path.suffix in _COMPRESSIONS else ""
    return PurePosixPath(path.stem).suffix if compression else path.suffix, compression


def is_table(name: str) -> bool:
    """Whether a file's name says that it holds rows."""
    return suffix_of(name)[0] in TABLES


def is_data(name: str) -> bool:
    """Whether a file's name says that it can be read."""
    return suffix_of(name)[0] in _READERS


def read_rows(uri: str) -> Iterator[RawRow]:
    """Every row of a file with its line (Parquet: its number), from 1; of a text file: the whole of it.

    Raises:
        DataError: when the file cannot be read at all.
    """
    suffix, _ = suffix_of(uri)
    with _opened(uri) as stream:
        for line, text, error in _READERS.get(suffix, _text_rows)(stream):
            yield RawRow(uri, line, text, error)


def caution_of(uri: str) -> str:
    """What a reader should know about a file's encoding, in a sentence; empty where that is sure.

    Raises:
        DataError: when the file cannot be read at all.
    """
    if _READERS.get(suffix_of(uri)[0]) is not _csv_rows:
        return ""
    with _opened(uri) as stream:
        return CsvFile(stream).format.caution


@contextmanager
def _opened(uri: str) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed; what its readers raise becomes a sentence with its name."""
    try:
        with open_file(uri) as packed, _unpacked(packed, suffix_of(uri)[1]) as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise DataError(f"'{uri}' is not UTF-8 text (byte {error.start}).") from error
    except BadFile as error:
        raise DataError(f"'{uri}' {error}.") from error
    except DataError:
        raise
    except Exception as error:  # every store has errors of its own: botocore's, httpx's, gcsfs's are no OSErrors
        raise DataError(f"'{uri}' cannot be read ({first_line(error)}).") from error


def _unpacked(stream: BinaryIO, suffix: str) -> BinaryIO:
    if not suffix:
        return stream
    from fsspec.compression import compr

    unpacked: BinaryIO = compr[_COMPRESSIONS[suffix]](stream, mode="rb")
    return unpacked


_Row = tuple[int, str, str]
"""Line, text and error of a `RawRow`."""


def _json_lines(stream: BinaryIO) -> Iterator[_Row]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield number, line.decode("utf-8", "backslashreplace"), f"is not UTF-8 text (byte {error.start})"
        else:
            yield number, text.removeprefix("\ufeff") if number == 1 else text, ""


def _json_array(stream: BinaryIO) -> Iterator[_Row]:
    try:
        for line, text in json_values(io.TextIOWrapper(stream, encoding="utf-8-sig")):
            yield line, text, ""
    except UnicodeDecodeError:  # the place that it names is one in what was read last
        raise BadFile("is not UTF-8 text") from None


def _parquet_rows(stream: BinaryIO) -> Iterator[_Row]:
    try:
        parquet = pq.ParquetFile(stream)
    except ValueError as error:  # pyarrow's own error is one
        raise BadFile(f"is not a Parquet file ({error})") from error
    is_nested = any(pa.types.is_nested(field.type) for field in parquet.schema_arrow)
    number = 0
    for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS_AT_ONCE):
        for value in batch.to_pylist():
            number += 1
            is_told = {name: part for name, part in value.items() if part is not None}
            yield number, _as_json(_without_nulls(is_told) if is_nested else is_told), ""


def _without_nulls(value: Any) -> Any:
    """Without the fields that only other rows have: a column of objects gives each the fields of all."""
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _csv_rows(stream: BinaryIO) -> Iterator[_Row]:
    line = 1
    try:
        table = CsvFile(stream)
        if twice := [name for name, times in Counter(table.header).items() if times > 1]:
            raise BadFile(f"has {len(twice)} column names twice, '{twice[0]}' among them")
        for record in table.records():
            line = record.line
            yield _csv_row(table.header, record)
    except CsvError as error:
        raise BadFile(f"cannot be read as CSV in or after line {line} ({error})") from None


def _csv_row(header: Sequence[str], record: CsvRecord) -> _Row:
    if len(record.values) != len(header):
        error = f"has {len(record.values)} values, and the header has {len(header)} names"
        return record.line, _as_json(record.values), error
    return record.line, _as_json(dict(zip(header, map(_cell, record.values), strict=True))), ""


def _cell(text: str) -> Any:
    """What a cell holds: nothing, messages as JSON, or text."""
    if text.startswith("[{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if all(isinstance(part, dict) and any(keys <= part.keys() for keys in _SPEAKERS) for part in value):
            return value
    return text or None


def _text_rows(stream: BinaryIO) -> Iterator[_Row]:
    yield 1, json.dumps({"text": stream.read().decode("utf-8-sig")}), ""


def _as_json(values: Mapping[str, Any] | list[Any]) -> str:
    return json.dumps(values, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON has no form for, as text: times, decimals, and bytes that are text."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"bytes": len(value)}


_READERS: dict[str, Callable[[BinaryIO], Iterator[_Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet_rows,
    ".json": _json_array,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".txt": _text_rows,
    ".md": _text_rows,
}
TABLES = (".jsonl", ".ndjson", ".parquet", ".json", ".csv", ".tsv")
"""Suffixes of files that hold rows."""
SUFFIXES = tuple(_READERS)
