"""From rows of tables to documents: what a row is called, and what it says.

In: table files and the recipe's `table` section. Out: for the plan a `DocumentFile` for each row; for a worker the
`Document` of a row.

A row is named by its `id` column, so that it stays the same document wherever it moves, also to another file. Without
one it is named by its content: a changed row is then a new document, and the old one disappears. Never by its number,
because a row put in at the top would rename, and embed anew, all others.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from plait.documents.csv_files import CsvError
from plait.documents.failure import NOTED, Failure, Unreadable
from plait.documents.formats import FORMATS
from plait.documents.parse import Document, parse_text
from plait.documents.read import DocumentFile
from plait.documents.row_files import BadRow, FileRow, Table, open_table
from plait.documents.storable import why_not_storable
from plait.documents.stores import StoredFile
from plait.errors import DataError, PlaitError, first_line
from plait.recipes import TableConfig

_SUFFIX_BY_FORMAT = {"text": ".txt", "markdown": ".md", "html": ".html"}


@dataclass(frozen=True)
class UnnamedRow:
    """A row so broken that nobody knows which document it is."""

    failure: Failure
    """Named by the row's place."""


def row_documents(tables: Iterable[StoredFile], config: TableConfig) -> Iterator[DocumentFile | Failure | UnnamedRow]:
    """Every row, in order; one that holds no document is a failure, and unnamed if it has no id that can be read.

    What there is to know about a table itself comes after its rows, as a failure with the step NOTED.

    Raises:
        DataError: when a table cannot be read to its end, so that none of its rows passes for removed.
    """
    columns = _columns(config)
    for file in tables:
        number = 0
        try:
            with ExitStack() as opened:
                table = _open(file.uri, config, opened)
                for number, row in enumerate(table.rows(), start=1):
                    yield _document_file(file, number, row, columns, config)
                if table.caution:
                    yield Failure(file.name, table.caution, NOTED)
        except PlaitError:
            raise
        except Exception as error:  # each store and each format has errors of its own
            raise DataError(
                f"'{file.uri}' cannot be read in or after row {number + 1} ({first_line(error)})."
            ) from error
        if not number:
            raise DataError(f"'{file.uri}' holds no rows.", "Remove it from the sources if that is meant.")


class RowReader:
    """Reads single rows, keeping their tables open; `parse_table_row` makes documents of them. A context manager."""

    def __init__(self, config: TableConfig) -> None:
        self._config, self._columns = config, _columns(config)
        self._tables: dict[str, Table] = {}
        self._open = ExitStack()

    def __enter__(self) -> "RowReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read(self, file: DocumentFile) -> dict[str, Any]:
        """The values of a row by column, of the columns that the recipe names.

        Raises:
            Unreadable: with the reason, also when another row has taken its place since the plan was made.
        """
        try:
            if file.uri not in self._tables:
                self._tables[file.uri] = _open(file.uri, self._config, self._open)
            values = self._tables[file.uri].row(file.start, file.length).values(self._columns)
        except Unreadable:
            raise
        except BadRow:
            values = {}  # it had some when the plan was made
        except Exception as error:  # as above
            raise Unreadable(f"it cannot be read ({first_line(error)})") from error
        if _version(values, self._config) != file.etag:
            raise Unreadable("it changed while it was read; run again")
        return values


def parse_table_row(values: dict[str, Any], file: DocumentFile, config: TableConfig) -> Document:
    """The document of a row, from its values by column.

    Raises:
        Unreadable: when its text is not what the recipe's `table.format` says, or empty.
    """
    format = FORMATS[_SUFFIX_BY_FORMAT[config.format]]
    title = str(values[config.title] or "") if config.title else ""
    fallback = file.source if config.id else PurePosixPath(file.source.rpartition("#")[0]).stem
    metadata: dict[str, Any] = {column: _plain(values[column]) for column in config.metadata}
    converted = format.convert(str(values[str(config.text)]).encode())
    return parse_text(converted, format.syntax, title=title, name=fallback, metadata=metadata)


def _open(uri: str, config: TableConfig, opened: ExitStack) -> Table:
    try:
        return opened.enter_context(open_table(uri, _columns(config), config.delimiter))
    except CsvError as error:
        raise DataError(f"'{uri}': {error}.", "Set table.delimiter, or save it as UTF-8.") from error


def _columns(config: TableConfig) -> list[str]:
    named = [config.text, config.id, config.title, *config.metadata]
    return list(dict.fromkeys(column for column in named if column))


def _document_file(
    file: StoredFile, number: int, row: FileRow, columns: Sequence[str], config: TableConfig
) -> DocumentFile | Failure | UnnamedRow:
    place = f"{file.name}, row {number}"
    try:
        values = row.values(columns)
    except BadRow as error:
        return UnnamedRow(Failure(place, f"it {error}"))
    wrong = {column: why for column, value in values.items() if (why := why_not_storable(value))}
    if config.id in wrong:
        return UnnamedRow(Failure(place, f"its column '{config.id}' {wrong[config.id]}"))
    name = place
    if config.id:
        identity = values[config.id]
        if identity in (None, ""):
            return UnnamedRow(Failure(place, f"its column '{config.id}' is empty"))
        name = unicodedata.normalize("NFC", str(identity))
    for column, why in wrong.items():
        where = f" in row {number} of {file.name}" if config.id else ""
        return Failure(name, f"its column '{column}'{where} {why}")
    text = values[str(config.text)]
    if not isinstance(text, str) or not text.strip():
        reason = "is no text" if text and not isinstance(text, str) else "is empty"
        return Failure(name, f"its column '{config.text}' {reason}")
    version = _version(values, config)
    name = name if config.id else f"{file.name}#{version[:16]}"
    return DocumentFile(name, file.uri, version, row.start, row.length)


def _version(values: dict[str, Any], config: TableConfig) -> str:
    """Changes with any value that makes the document, and with what the recipe takes them for."""
    key = [config.model_dump(exclude={"delimiter"}), values]  # by what delimiter the values stood apart is all one
    return hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value that JSON and every store can hold: times, decimals and whole numbers of more than 64 bits become text,
    what is no number (NaN) or infinite nothing."""
    return json.loads(json.dumps(value, default=str), parse_int=_whole_number, parse_constant=lambda _: None)


def _whole_number(digits: str) -> int | str:
    return int(digits) if -(2**63) <= int(digits) < 2**63 else digits
