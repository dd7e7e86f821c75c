"""Tables: files whose rows are documents. JSONL, CSV, TSV and Parquet.

In: an open file. Out: its rows as mappings from column to value, each with its place, by which a worker finds it again
without reading the rows before it. It knows neither which columns hold what, nor documents.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from plait.errors import DataError
from plait.jobs.ingest.formats import Unreadable
from plait.jobs.ingest.stores import open_file, version_of

_ROWS_AT_ONCE = 1_000
# A row is held in memory: a line or a quotation without end would fill it.
_MAX_ROW_BYTES = 128 * 2**20
csv.field_size_limit(_MAX_ROW_BYTES)  # the default, 131,072 characters, is less than a document may have


@dataclass(frozen=True)
class Row:
    """A row. `start` and `length` are its bytes in the file; in Parquet `start` is its number and `length` 1."""

    start: int
    length: int
    values: dict[str, Any]
    error: str = ""
    """Why nothing could be read from it."""


class Table(Protocol):
    """An open table."""

    def rows(self) -> Iterator[Row]:
        """All rows, as a stream."""

    def row(self, start: int, length: int) -> Row:
        """The row at a place."""


def open_table(uri: str, stream: BinaryIO, columns: Sequence[str]) -> Table:
    """A table for reading some columns.

    Raises:
        DataError: when it is broken, or has no such column.
    """
    name = uri.lower()
    if name.endswith(".parquet"):
        return ParquetTable(uri, stream, columns)
    if name.endswith((".csv", ".tsv")):
        return CsvTable(uri, stream, columns, delimiter="\t" if name.endswith(".tsv") else ",")
    return JsonLines(stream, columns)


class JsonLines:
    """One JSON object a line. A bad line is an error of its own; which columns there are, each line says itself."""

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._stream, self._columns = stream, columns

    def rows(self) -> Iterator[Row]:
        start = 0
        while line := self._stream.readline(_MAX_ROW_BYTES + 1):
            if len(line) > _MAX_ROW_BYTES:
                raise Unreadable(f"a row has more than {_MAX_ROW_BYTES:,} bytes")
            if line.strip():
                yield self._row(start, line)
            start += len(line)

    def row(self, start: int, length: int) -> Row:
        self._stream.seek(start)
        return self._row(start, self._stream.read(length))

    def _row(self, start: int, line: bytes) -> Row:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            return Row(start, len(line), {}, f"it is not valid JSON ({error})")
        if not isinstance(value, dict):
            return Row(start, len(line), {}, f"it is no JSON object but a {type(value).__name__}")
        return Row(start, len(line), {column: value.get(column) for column in self._columns})


class CsvTable:
    """Comma- or tab-separated values with a header line, in UTF-8; values may hold line ends between quotes."""

    def __init__(self, uri: str, stream: BinaryIO, columns: Sequence[str], delimiter: str) -> None:
        self._uri, self._stream, self._columns, self._delimiter = uri, stream, columns, delimiter
        self._place = 0
        self._header: list[str] = next(self._records(), [])
        self._body = self._place
        _check_columns(uri, columns, self._header)

    def rows(self) -> Iterator[Row]:
        self._stream.seek(self._body)
        start = self._place = self._body
        for values in self._records():
            if values:
                yield self._row(start, self._place - start, values)
            start = self._place

    def row(self, start: int, length: int) -> Row:
        self._stream.seek(start)
        text = self._stream.read(length).decode("utf-8")
        values = next(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter, strict=True), [])
        return self._row(start, length, values)

    def _row(self, start: int, length: int, values: list[str]) -> Row:
        if len(values) != len(self._header):
            return Row(start, length, {}, f"it has {len(values)} values, the header names {len(self._header)}")
        by_column = dict(zip(self._header, values, strict=True))
        return Row(start, length, {column: by_column[column] for column in self._columns})

    def _records(self) -> Iterator[list[str]]:
        """Records from where the stream stands; `_place` is then the end of the last one: csv takes line by line."""
        return csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        for line in self._stream:
            encoding = "utf-8" if self._place else "utf-8-sig"
            self._place += len(line)
            try:
                yield line.decode(encoding)
            except UnicodeDecodeError:
                raise Unreadable("it is not UTF-8 text there: save it as UTF-8") from None


class ParquetTable:
    """A Parquet file: only the columns needed are read, a row group at a time."""

    def __init__(self, uri: str, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._uri, self._columns = uri, tuple(columns)
        try:
            self._file = pq.ParquetFile(stream)
        except pa.ArrowException as error:
            raise DataError(f"'{uri}' is not a Parquet file ({error}).") from error
        _check_columns(uri, columns, self._file.schema_arrow.names)

    @cached_property
    def _version(self) -> str:
        return version_of(self._uri)

    def rows(self) -> Iterator[Row]:
        number = 0
        for batch in self._file.iter_batches(_ROWS_AT_ONCE, columns=list(self._columns)):
            for values in batch.to_pylist():
                yield Row(number, 1, values)
                number += 1

    def row(self, start: int, length: int) -> Row:
        first = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if start < first + count:
                table = _row_group(self._uri, self._version, group, self._columns)
                return Row(start, 1, table.slice(start - first, 1).to_pylist()[0])
            first += count
        raise Unreadable("it changed while it was read; run again")


@lru_cache(maxsize=1)
def _row_group(uri: str, version: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    """One is kept a process: its rows are asked for one after the other, in several blocks."""
    with open_file(uri) as stream:
        return pq.ParquetFile(stream).read_row_group(group, columns=list(columns))


def _check_columns(uri: str, columns: Sequence[str], there: Sequence[str]) -> None:
    missing = [column for column in columns if column not in there]
    if missing:
        raise DataError(
            f"'{uri}' has no column '{missing[0]}' (it has {', '.join(there) or 'none'}).",
            "Correct the recipe's table section.",
        )
