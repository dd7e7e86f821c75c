"""Workbooks (XLSX) to Markdown: of each sheet that can be seen its title and the tables in it.

In: a workbook's bytes. Out: Markdown, and what a reader of it should know, as that sheets are hidden. Cells are shown
as a reader sees them (number_format.py), merged ones in each of their places, empty rows and columns not at all.
Where a table begins, which row names its columns, and whether it goes on after an empty row, is told by what stands
in the cells and how they look. Hidden rows and columns are read, because filters and folded outlines hide rows that
readers look up.
"""

import warnings
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from typing import Any

from openpyxl import load_workbook
from openpyxl.cell.read_only import ReadOnlyCell
from openpyxl.utils.cell import range_boundaries
from openpyxl.worksheet._reader import FORMULA_TAG, MERGE_TAG, ROW_TAG, WorkSheetParser
from openpyxl.xml.functions import iterparse

from plait.documents.grid import (
    CHARS_A_PLACE,
    MAX_LABEL_CHARS,
    check_places,
    check_repeated,
    is_name_or_year,
    to_markdown,
)
from plait.documents.number_format import GENERAL, shown

_HEADER_IN_ROWS = 10
_LOOKED_AT_BELOW = 20
_MAX_HEADER_ROWS = 5


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    is_text: bool
    style: int


_Row = dict[int, _Cell]
"""Cells that hold something, by column from 1."""


@dataclass
class _Table:
    """A table under way. `header`: the rows that name its columns."""

    columns: frozenset[int]
    header: list[_Row] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [*self.header, *self.rows]
        columns = sorted({column for row in lines for column in row})
        check_places(len(lines) * len(columns), sum(map(len, lines)))
        texts = [[row[column].text if column in row else "" for column in columns] for row in lines]
        return to_markdown(texts, len(self.header))


@dataclass(frozen=True)
class WorkbookText:
    """A workbook as Markdown. `hidden`: sheets that were left out; `unsaved`: formulas whose value nobody saved."""

    markdown: str
    hidden: tuple[str, ...]
    unsaved: int


def read_workbook(data: bytes) -> WorkbookText:
    """The text of a workbook. Raises whatever its library trips over."""
    parts, hidden, unsaved = [], [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions, which are not read
        book = load_workbook(BytesIO(data), read_only=True, data_only=True)
        for sheet in book.worksheets:
            if sheet.sheet_state != "visible":
                hidden.append(sheet.title)
                continue
            rows, without_value = _rows(sheet)
            unsaved += without_value
            if found := list(_parts(rows)):
                parts += [f"## {' '.join(sheet.title.split())}", *found]
    return WorkbookText("\n\n".join(parts), tuple(hidden), unsaved)


# ------------------------------------------------------------ cells


def _rows(sheet: Any) -> tuple[dict[int, _Row], int]:
    """The rows that hold something, by number, from above; and how many formulas have no value."""
    book = sheet.parent
    formats: dict[int, str] = {}
    rows: dict[int, _Row] = {}
    merged: list[str] = []
    without_value = 0
    with sheet._get_source() as source:
        parser = WorkSheetParser(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        for _, element in iterparse(source):
            if element.tag == ROW_TAG:
                number, cells = parser.parse_row(element)
                row = rows.setdefault(number, {})
                for part, cell in zip(element, cells, strict=True):
                    value, style = cell["value"], cell["style_id"]
                    if value is None:
                        without_value += part.find(FORMULA_TAG) is not None and cell["data_type"] != "str"
                        continue
                    if style not in formats:
                        formats[style] = _format(sheet, style)
                    if text := " ".join(shown(value, formats[style]).replace("_x000D_", " ").split()):
                        row[cell["column"]] = _Cell(text, isinstance(value, str), style)
                element.clear()
            elif element.tag == MERGE_TAG:
                merged += [part.get("ref", "") for part in element]
    return _with_merged({number: rows[number] for number in sorted(rows) if rows[number]}, merged), without_value


def _format(sheet: Any, style: int) -> str:
    try:
        return str(ReadOnlyCell(sheet, 1, 1, None, "n", style).number_format)
    except (IndexError, KeyError):
        return GENERAL


def _with_merged(rows: dict[int, _Row], merged: Sequence[str]) -> dict[int, _Row]:
    """The rows with merged cells in each of their places, as far as rows and columns hold anything else."""
    numbers, columns = sorted(rows), sorted({column for row in rows.values() for column in row})
    repeated = 0
    for area in merged:
        try:
            left, top, right, bottom = range_boundaries(area)
        except (ValueError, TypeError):
            continue
        cell = rows.get(top, {}).get(left)
        if cell is None or len(cell.text) > MAX_LABEL_CHARS:
            continue
        in_rows = numbers[bisect_left(numbers, top) : bisect_right(numbers, bottom)]
        in_columns = columns[bisect_left(columns, left) : bisect_right(columns, right)]
        repeated += len(in_rows) * len(in_columns) * (len(cell.text) + CHARS_A_PLACE)
        check_repeated(repeated)
        for number in in_rows:
            for column in in_columns:
                rows[number].setdefault(column, cell)
    return rows


# ------------------------------------------------------------ tables


def _parts(rows: dict[int, _Row]) -> Iterator[str]:
    """Tables, and what stands around them, as Markdown."""
    table: _Table | None = None
    for block in _blocks(rows):
        columns = frozenset(column for row in block for column in row)
        goes_on = table is not None and columns <= table.columns
        at = _header_at(block, has_to_differ=goes_on)
        above = block if at is None and not goes_on and _is_prose(block) else block[: at or 0]
        if at is None and goes_on and len(block) == 1 and len(block[0]) == 1:
            above = block
        if above:
            if table is not None and table.rows:
                yield table.markdown()
                table.rows = []
            yield "\n\n".join(_line(row) for row in above)
        if len(above) == len(block):
            continue
        if table is None or not goes_on or at is not None:
            if table is not None and table.rows:
                yield table.markdown()
            depth = _header_depth(block, at)
            table = _Table(columns, block[at : at + depth] if at is not None else [])
            block = block[(at or 0) + depth :]
        table.rows += block
    if table is not None and table.rows:
        yield table.markdown()


def _blocks(rows: dict[int, _Row]) -> Iterator[list[_Row]]:
    """Rows that stand together, without an empty one between them."""
    block: list[_Row] = []
    before = None
    for number, row in rows.items():
        if before is not None and number > before + 1:
            yield block
            block = []
        block.append(row)
        before = number
    if block:
        yield block


def _is_prose(block: Sequence[_Row]) -> bool:
    """A title, a note, a date: rows that say a single thing, or one row alone."""
    return len(block) == 1 or all(_says_one_thing(row) for row in block)


def _says_one_thing(row: _Row) -> bool:
    return len({cell.text for cell in row.values()}) == 1


def _line(row: _Row) -> str:
    return " ".join(dict.fromkeys(row[column].text for column in sorted(row)))


def _header_at(block: Sequence[_Row], has_to_differ: bool) -> int | None:
    """The row that names the columns of those below it. `has_to_differ`: it must look like no row below it."""
    for at, row in enumerate(block[:_HEADER_IN_ROWS]):
        below = block[at + 1 : at + 1 + _LOOKED_AT_BELOW]
        if below and _may_be_header(row, below) and (not has_to_differ or _differs(row, below)):
            return at
    return None


def _may_be_header(row: _Row, below: Sequence[_Row]) -> bool:
    """It has names, none of them twice but for merged ones, over most of the columns that are used below."""
    used = {column for other in below for column in other}
    is_named = len(row) > 1 and not _says_one_thing(row) and all(is_name_or_year(cell.text) for cell in row.values())
    return is_named and 2 * len(used & row.keys()) > len(used)


def _differs(row: _Row, below: Sequence[_Row]) -> bool:
    """It holds texts where numbers stand below, or looks otherwise than what follows."""
    for column, cell in row.items():
        kinds = Counter(other[column].is_text for other in below if column in other)
        if cell.is_text and kinds[False] > kinds[True]:
            return True
    shared = [column for column in row if column in below[0]]
    return sum(row[column].style != below[0][column].style for column in shared) * 2 > len(shared)


def _header_depth(block: Sequence[_Row], at: int | None) -> int:
    """How many rows name the columns: more than one where merged cells group the names below them."""
    if at is None:
        return 0
    depth = 1
    for row, following in pairwise(block[at : at + _MAX_HEADER_ROWS]):
        cells = [id(cell) for cell in row.values()]
        is_grouped = len(set(cells)) < len(cells)
        if (
            not is_grouped
            or at + depth + 1 >= len(block)
            or not all(is_name_or_year(c.text) for c in following.values())
        ):
            break
        depth += 1
    return depth
