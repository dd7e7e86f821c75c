"""Tables: files whose rows are documents. JSONL, CSV, TSV and Parquet.

In: an open file. Out: its rows as mappings from column to value, each with its place, by which a worker finds it again
without reading the rows before it. It knows neither which columns hold what, nor documents.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from plait.documents.csv_files import MAX_RECORD_BYTES, CsvError, CsvFile, CsvRecord
from plait.documents.failure import Unreadable
from plait.documents.stores import open_file, version_of
from plait.errors import DataError

_ROWS_AT_ONCE = 1_000
_MAX_ROW_BYTES = MAX_RECORD_BYTES  # a row is held in memory: a line without end would fill it


@dataclass(frozen=True)
class TableRow:
    """A row. `start` and `length` are its bytes in the file; in Parquet `start` is its number and `length` 1."""

    start: int
    length: int
    values: dict[str, Any]
    error: str = ""
    """Why nothing could be read from it."""


class Table(Protocol):
    """An open table."""

    @property
    def caution(self) -> str:
        """What a reader should know about how it was read up to here; empty for nothing."""

    def rows(self) -> Iterator[TableRow]:
        """All rows, as a stream."""

    def row(self, start: int, length: int) -> TableRow:
        """The row at a place."""


def open_table(uri: str, stream: BinaryIO, columns: Sequence[str], delimiter: str | None = None) -> Table:
    """A table for reading some columns. `delimiter`: of CSV; None: tabs in TSV, else what the file looks like.

    Raises:
        DataError: when it is broken, or has no such column.
    """
    name = uri.lower()
    if name.endswith(".parquet"):
        return ParquetTable(uri, stream, columns)
    if name.endswith((".csv", ".tsv")):
        return CsvTable(uri, stream, columns, delimiter or ("\t" if name.endswith(".tsv") else None))
    return JsonLines(stream, columns)


class JsonLines:
    """One JSON object a line. A bad line is an error of its own; which columns there are, each line says itself."""

    caution = ""

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._stream, self._columns = stream, columns

    def rows(self) -> Iterator[TableRow]:
        start = 0
        while line := self._stream.readline(_MAX_ROW_BYTES + 1):
            if len(line) > _MAX_ROW_BYTES:
                raise Unreadable(f"a row has more than {_MAX_ROW_BYTES:,} bytes")
            if line.strip():
                yield self._row(start, line)
            start += len(line)

    def row(self, start: int, length: int) -> TableRow:
        self._stream.seek(start)
        return self._row(start, self._stream.read(length))

    def _row(self, start: int, line: bytes) -> TableRow:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            return TableRow(start, len(line), {}, f"it is not valid JSON ({error})")
        if not isinstance(value, dict):
            return TableRow(start, len(line), {}, f"it is no JSON object but a {type(value).__name__}")
        return TableRow(start, len(line), {column: value.get(column) for column in self._columns})


class CsvTable:
    """A CSV file with a header line (plait.documents.csv_files)."""

    def __init__(self, uri: str, stream: BinaryIO, columns: Sequence[str], delimiter: str | None) -> None:
        self._columns = columns
        try:
            self._file = CsvFile(stream, delimiter, columns)
        except CsvError as error:
            raise DataError(f"'{uri}': {error}.", "Set table.delimiter, or save it as UTF-8.") from error
        _check_columns(uri, columns, self._file.header)

    @property
    def caution(self) -> str:
        return self._file.format.caution

    def rows(self) -> Iterator[TableRow]:
        return (self._row(record) for record in self._file.records())

    def row(self, start: int, length: int) -> TableRow:
        return self._row(self._file.record(start, length))

    def _row(self, record: CsvRecord) -> TableRow:
        header, values = self._file.header, record.values
        if len(values) != len(header):
            reason = f"it has {len(values)} values, the header names {len(header)}"
            return TableRow(record.start, record.length, {}, reason)
        by_column = dict(zip(header, values, strict=True))
        return TableRow(record.start, record.length, {column: by_column[column] for column in self._columns})


class ParquetTable:
    """A Parquet file: only the columns needed are read, a row group at a time."""

    caution = ""

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

    def rows(self) -> Iterator[TableRow]:
        number = 0
        for batch in self._file.iter_batches(_ROWS_AT_ONCE, columns=list(self._columns)):
            for values in batch.to_pylist():
                yield TableRow(number, 1, values)
                number += 1

    def row(self, start: int, length: int) -> TableRow:
        first = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if start < first + count:
                table = _row_group(self._uri, self._version, group, self._columns)
                return TableRow(start, 1, table.slice(start - first, 1).to_pylist()[0])
            first += count
        raise Unreadable("it changed while it was read; run again")


@lru_cache(maxsize=1)
def _row_group(uri: str, version: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    """One is kept a process: its rows are asked for one after the other, in several blocks."""
    with open_file(uri) as stream:
        return pq.ParquetFile(stream).read_row_group(group, columns=list(columns))


def _check_columns(uri: str, columns: Sequence[str], there: Sequence[str]) -> None:
    for column in columns:
        if column not in there:
            names = ", ".join(there) or "none"
            raise DataError(
                f"'{uri}' has no column '{column}' (it has {names}).", "Correct the recipe's table section."
            )
        if there.count(column) > 1:
            raise DataError(f"'{uri}' has {there.count(column)} columns named '{column}'.", "Rename all but one.")
