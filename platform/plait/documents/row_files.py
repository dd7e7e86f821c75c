"""Files of rows: JSON Lines, JSON, CSV, Parquet and plain text, compressed or not.

In: the path or URI of a file. Out: its rows as they are written, each with its line, and in tables with its place, by
which it is found again without reading the rows before it. Memory stays bounded: a file of any size is read as a
stream. It knows neither what columns mean nor what a row should look like.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from plait.documents.csv_files import MAX_RECORD_BYTES, CsvFile, CsvRecord
from plait.documents.failure import Unreadable
from plait.documents.json_values import BadFile, json_values
from plait.documents.stores import open_file, version_of
from plait.errors import DataError, first_line

_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}
_PARQUET_ROWS_AT_ONCE = 1_000
_MAX_ROW_BYTES = MAX_RECORD_BYTES  # a row is held in memory: a line without end would fill it

CSV = (".csv", ".tsv")
"""Suffixes of files whose rows are lines of values."""
TABLES = (".jsonl", ".ndjson", ".parquet", *CSV)
"""Suffixes of files whose rows are found again by their place."""
TEXTS = (".txt", ".md")
"""Suffixes of files that are a single row."""
SUFFIXES = (*TABLES, ".json", *TEXTS)
"""Suffixes of all files that are read here."""


class BadRow(ValueError):
    """A row that cannot be used; its text says why, to follow the row's place, or 'it'."""


class FileRow(NamedTuple):
    """A row of a file.

    Attributes:
        line: on which it begins, from 1; in Parquet its number; 0: not known.
        start, length: its place in a table: its bytes, in Parquet its number, from 0, and 1.
        content: the row as JSON, or its values by column.
        error: why its content is of no use.
    """

    line: int
    start: int
    length: int
    content: bytes | str | dict[str, Any]
    error: str = ""

    def values(self, columns: Iterable[str]) -> dict[str, Any]:
        """The values of some columns; None of one that a JSON object does not have.

        Raises:
            BadRow: when it is no JSON object, or has an error.
        """
        if self.error:
            raise BadRow(self.error)
        values = self.content if isinstance(self.content, dict) else json_object(self.content)
        return {column: values.get(column) for column in columns}


def json_object(written: str | bytes, of_list: str = "") -> dict[str, Any]:
    """A row that is written as JSON.

    Raises:
        BadRow: when it is no object; `of_list` is added where it is a list.
    """
    try:
        value = json.loads(written)
    except UnicodeDecodeError as broken:
        raise BadRow(not_utf8(broken)) from None
    except json.JSONDecodeError as broken:
        raise BadRow(f"is not valid JSON ({broken.msg} at column {broken.colno})") from None
    except (ValueError, RecursionError) as broken:  # a number of thousands of digits, brackets without end
        raise BadRow(f"is not valid JSON that can be read ({first_line(broken)})") from None
    if not isinstance(value, dict):
        hint = of_list if isinstance(value, list) else ""
        raise BadRow(f"is no JSON object but a {type(value).__name__}{hint}")
    return value


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with a text, to follow its place."""
    return f"is not UTF-8 text (byte {error.start})"


class RowFile(Protocol):
    """An open file of rows."""

    @property
    def caution(self) -> str:
        """What a reader should know about how it was read up to here; empty for nothing."""

    def rows(self) -> Iterator[FileRow]:
        """All rows, as a stream."""


class Table(RowFile, Protocol):
    """An open file whose rows are found again by their place."""

    def row(self, start: int, length: int) -> FileRow:
        """The row at a place."""


def suffix_of(name: str) -> tuple[str, str]:
    """The suffix that says what a file holds, and that of its compression, in lower case; empty where there is none."""
    path = PurePosixPath(name.lower())
    compression = path.suffix if path.suffix in _COMPRESSIONS else ""
    return PurePosixPath(path.stem).suffix if compression else path.suffix, compression


def is_data(name: str) -> bool:
    """Whether a file's name says that it can be read."""
    return suffix_of(name)[0] in SUFFIXES


@contextmanager
def open_rows(uri: str) -> Iterator[RowFile]:
    """A file of any format, compressed or not, for reading all columns.

    Raises:
        DataError: when it is not what its name says.
        CsvError: when it is no CSV, or its delimiter cannot be told.
    """
    suffix, compression = suffix_of(uri)
    with ExitStack() as opened:
        stream = opened.enter_context(open_file(uri))
        if compression:
            from fsspec.compression import compr

            stream = opened.enter_context(compr[_COMPRESSIONS[compression]](stream, mode="rb"))
        if suffix in TABLES:
            yield _table(uri, stream)
        else:
            yield JsonValues(stream) if suffix == ".json" else WholeText(stream)


@contextmanager
def open_table(uri: str, columns: Sequence[str], delimiter: str | None = None) -> Iterator[Table]:
    """A table, for reading some columns. `delimiter`: of CSV; None: what the file's name or its text says.

    Raises:
        DataError: when it is not what its name says, or has no such column, or two.
        CsvError: when it is no CSV, or its delimiter cannot be told.
    """
    with open_file(uri) as stream:
        yield _table(uri, stream, columns, delimiter)


def _table(uri: str, stream: BinaryIO, columns: Sequence[str] | None = None, delimiter: str | None = None) -> Table:
    suffix, _ = suffix_of(uri)
    if suffix == ".parquet":
        return ParquetRows(uri, stream, columns)
    if suffix in CSV:
        return CsvRows(uri, stream, columns, delimiter or ("\t" if suffix == ".tsv" else None))
    return JsonLines(stream)


class _Stream:
    caution = ""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream


class JsonLines(_Stream):
    """One JSON object a line. A bad line is an error of its own; which columns there are, each line says itself."""

    def rows(self) -> Iterator[FileRow]:
        start = number = 0
        while line := self._stream.readline(_MAX_ROW_BYTES + 1):
            if len(line) > _MAX_ROW_BYTES:
                raise Unreadable(f"a row has more than {_MAX_ROW_BYTES:,} bytes")
            number += 1
            if line.strip():
                yield FileRow(number, start, len(line), line)
            start += len(line)

    def row(self, start: int, length: int) -> FileRow:
        self._stream.seek(start)
        return FileRow(0, start, length, self._stream.read(length))


class CsvRows:
    """A CSV file with a header line (plait.documents.csv_files)."""

    def __init__(self, uri: str, stream: BinaryIO, columns: Sequence[str] | None, delimiter: str | None) -> None:
        self._file = CsvFile(stream, delimiter, columns or ())
        _check_columns(uri, columns, self._file.header)

    @property
    def caution(self) -> str:
        return self._file.format.caution

    def rows(self) -> Iterator[FileRow]:
        return map(self._row, self._file.records())

    def row(self, start: int, length: int) -> FileRow:
        return self._row(self._file.record(start, length))

    def _row(self, record: CsvRecord) -> FileRow:
        header, values = self._file.header, record.values
        if len(values) != len(header):
            error = f"has {len(values)} values, and the header has {len(header)} names"
            return FileRow(record.line, record.start, record.length, json.dumps(values), error)
        return FileRow(record.line, record.start, record.length, dict(zip(header, values, strict=True)))


class ParquetRows:
    """A Parquet file: only the columns needed are read, a row group at a time."""

    caution = ""

    def __init__(self, uri: str, stream: BinaryIO, columns: Sequence[str] | None) -> None:
        self._uri, self._columns = uri, columns and tuple(columns)
        try:
            self._file = pq.ParquetFile(stream)
        except pa.ArrowException as error:
            raise DataError(f"'{uri}' is not a Parquet file ({error}).") from error
        _check_columns(uri, columns, self._file.schema_arrow.names)

    @cached_property
    def _version(self) -> str:
        return version_of(self._uri)

    def rows(self) -> Iterator[FileRow]:
        number = 0
        for batch in self._file.iter_batches(_PARQUET_ROWS_AT_ONCE, columns=self._columns):
            for values in batch.to_pylist():
                yield FileRow(number + 1, number, 1, values)
                number += 1

    def row(self, start: int, length: int) -> FileRow:
        first = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if start < first + count:
                table = _row_group(self._uri, self._version, group, self._columns)
                return FileRow(start + 1, start, length, table.slice(start - first, 1).to_pylist()[0])
            first += count
        raise Unreadable("it changed while it was read; run again")


@lru_cache(maxsize=1)
def _row_group(uri: str, version: str, group: int, columns: tuple[str, ...] | None) -> pa.Table:
    """One is kept a process: its rows are asked for one after the other, in several blocks."""
    with open_file(uri) as stream:
        return pq.ParquetFile(stream).read_row_group(group, columns=columns)


class JsonValues(_Stream):
    """A JSON array, or JSON values that follow each other."""

    def rows(self) -> Iterator[FileRow]:
        try:
            for line, text in json_values(io.TextIOWrapper(self._stream, encoding="utf-8-sig")):
                yield FileRow(line, 0, 0, text)
        except UnicodeDecodeError:  # the place that it names is one in what was read last
            raise BadFile("is not UTF-8 text") from None


class WholeText(_Stream):
    """A text as a single row."""

    def rows(self) -> Iterator[FileRow]:
        try:
            yield FileRow(1, 0, 0, {"text": self._stream.read().decode("utf-8-sig")})
        except UnicodeDecodeError as error:
            raise BadFile(not_utf8(error)) from None


def _check_columns(uri: str, columns: Sequence[str] | None, there: Sequence[str]) -> None:
    times = Counter(there)
    for column in there if columns is None else columns:
        if not times[column]:
            names = ", ".join(there) or "none"
            raise DataError(
                f"'{uri}' has no column '{column}' (it has {names}).", "Correct the recipe's table section."
            )
        if times[column] > 1:
            raise DataError(f"'{uri}' has {times[column]} columns named '{column}'.", "Rename all but one.")
