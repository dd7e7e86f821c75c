"""Rows of training data and eval sets: each as JSON, with its file and line.

In: the path or URI of a file. Out: its rows as text, which other processes parse. It does not know what a row should
look like.
"""

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from plait.documents.csv_files import CsvError
from plait.documents.json_values import BadFile
from plait.documents.row_files import (
    CSV,
    BadRow,
    CsvRows,
    FileRow,
    RowFile,
    json_object,
    not_utf8,
    open_rows,
    suffix_of,
)
from plait.errors import DataError, first_line

_ONE_ARRAY = "; a file that is one array must end in .json"
_SPEAKERS = ({"role", "content"}, {"from", "value"})
_NESTED = (dict, list)


class RawRow(NamedTuple):
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
        if self.error:
            raise BadRow(self.error)
        return json_object(self.text, of_list=_ONE_ARRAY)


def read_rows(uri: str) -> Iterator[RawRow]:
    """Every row of a file with its line (Parquet: its number), from 1; of a text file: the whole of it.

    Raises:
        DataError: when the file cannot be read at all.
    """
    with _opened(uri) as file:
        line, is_csv = 1, isinstance(file, CsvRows)
        try:
            for row in file.rows():
                line = row.line
                yield _raw_row(uri, row, is_csv)
        except CsvError as error:
            raise DataError(f"'{uri}' cannot be read as CSV in or after line {line} ({error}).") from None


def caution_of(uri: str) -> str:
    """What a reader should know about a file's encoding, in a sentence; empty where that is sure.

    Raises:
        DataError: when the file cannot be read at all.
    """
    if suffix_of(uri)[0] not in CSV:
        return ""
    with _opened(uri) as file:
        return file.caution


@contextmanager
def _opened(uri: str) -> Iterator[RowFile]:
    """A file; what its readers raise becomes a sentence with its name."""
    try:
        with open_rows(uri) as file:
            yield file
    except BadFile as error:
        raise DataError(f"'{uri}' {error}.") from error
    except DataError:
        raise
    except Exception as error:  # every store has errors of its own: botocore's, httpx's, gcsfs's are no OSErrors
        raise DataError(f"'{uri}' cannot be read ({first_line(error)}).") from error


def _raw_row(uri: str, row: FileRow, is_csv: bool) -> RawRow:
    line, _, _, content, error = row
    if isinstance(content, bytes):
        try:
            return RawRow(uri, line, content.removeprefix(codecs.BOM_UTF8).decode())
        except UnicodeDecodeError as broken:
            return RawRow(uri, line, content.decode(errors="backslashreplace"), not_utf8(broken))
    if isinstance(content, str):
        return RawRow(uri, line, content, error)
    if is_csv:
        return RawRow(uri, line, _as_json({name: _cell(text) for name, text in content.items()}))
    return RawRow(uri, line, _as_json(_without_nulls(content)))


def _cell(text: str) -> Any:
    """What a cell of a CSV holds: nothing, messages as JSON, or text."""
    if text.startswith("[{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if all(isinstance(part, dict) and any(keys <= part.keys() for keys in _SPEAKERS) for part in value):
            return value
    return text or None


def _without_nulls(value: Any) -> Any:
    """Without the fields that only other rows have: a column of objects gives each the fields of all."""
    if isinstance(value, dict):
        return {
            name: _without_nulls(part) if isinstance(part, _NESTED) else part
            for name, part in value.items()
            if part is not None
        }
    return [_without_nulls(part) if isinstance(part, _NESTED) else part for part in value]


def _plain(value: Any) -> Any:
    """What JSON has no form for, as text: times, decimals, and bytes that are text."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"bytes": len(value)}


_as_json = json.JSONEncoder(default=_plain).encode
