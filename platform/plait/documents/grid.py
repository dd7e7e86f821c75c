"""Tables as a grid: each value stands in its own column, whatever cells were merged, and the whole becomes Markdown.

In: rows of cells, some of which span columns and rows. Out: rows of texts, and a Markdown table. It knows no format:
web pages, documents, slides and workbooks all make their tables here.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

_MAX_COLUMNS_SPANNED = 1_000  # as in HTML
_MAX_REPEATED_CHARS = 5_000_000
CHARS_A_PLACE = 8  # what a repeated cell without text counts as
MAX_LABEL_CHARS = 1_000
_MAX_SPARSE_PLACES = 1_000_000
_MOST_PLACES_A_TEXT = 20
_MAX_HEADER_ROWS = 5
_MAX_NAME_CHARS = 200
_BLANKS = re.compile(r"\s+")
_NUMBER = re.compile(r"\W*\d[\d\W]*")
_YEAR = re.compile(r"(?:19|20)\d\d")


class TableTooLarge(Exception):
    """A table that would fill the memory; its text says by what, to follow a document's name and a colon."""


@dataclass(frozen=True)
class Cell:
    """A cell. `columns` and `rows`: how many it spans; rows=0: all that are left in its group."""

    text: str
    columns: int = 1
    rows: int = 1


@dataclass
class _Placed:
    """A cell in its place: columns `first` to `end`; `left`: rows below that it spans too."""

    first: int
    end: int
    left: int
    text: str


def spread(groups: Sequence[Sequence[Sequence[Cell]]]) -> list[list[str]]:
    """The rows of all groups, with the text of a spanning cell in every place that it covers.

    Cells are placed as in HTML (html.spec.whatwg.org, forming a table): they span rows only within their group.
    Columns in which no cell begins are left out, for they repeat the one before. A text of more than 1,000 characters
    is no label, and stands once. Rows may have different lengths.

    Raises:
        TableTooLarge: when repeated texts would have more than 5,000,000 characters.
    """
    cells = [row for group in groups for row in group]
    if all(cell.columns == 1 == cell.rows for row in cells for cell in row):
        return [[cell.text for cell in row] for row in cells]
    placed = [row for group in groups for row in _placed(group)]
    starts = sorted({cell.first for row in placed for cell, _ in row})
    rows: list[list[str]] = []
    repeated = 0
    for row in placed:
        texts: list[str] = []
        for cell, is_first in row:
            here = bisect_left(starts, cell.first)
            count = bisect_left(starts, cell.end) - here
            text = cell.text if is_first or len(cell.text) <= MAX_LABEL_CHARS else ""
            again = cell.text if len(cell.text) <= MAX_LABEL_CHARS else ""
            check_repeated(repeated := repeated + here - len(texts) + (count - is_first) * (len(again) + CHARS_A_PLACE))
            texts += [""] * (here - len(texts)) + [text] + [again] * (count - 1)
        rows.append(texts)
    return rows


def _placed(group: Sequence[Sequence[Cell]]) -> list[list[tuple[_Placed, bool]]]:
    """Of each row the cells that it shows, from left to right, and whether a cell begins there."""
    rows: list[list[tuple[_Placed, bool]]] = []
    from_above: list[_Placed] = []
    repeated = 0
    for number, cells in enumerate(group):
        row = [(cell, False) for cell in from_above]
        above = iter([*from_above, None])
        barrier = next(above)
        column = 0
        for cell in cells:
            while barrier is not None and barrier.first <= column:
                column = max(column, barrier.end)
                barrier = next(above)
            columns = max(1, min(cell.columns, _MAX_COLUMNS_SPANNED))
            if barrier is not None:
                columns = min(columns, barrier.first - column)
            rest = len(group) - number
            left = (rest if cell.rows == 0 else max(1, min(cell.rows, rest))) - 1
            row.append((_Placed(column, column + columns, left, cell.text), True))
            column += columns
        row.sort(key=lambda place: place[0].first)
        check_repeated(repeated := repeated + len(from_above) * CHARS_A_PLACE)
        rows.append(row)
        from_above = []
        for place, _ in row:
            if place.left > 0:
                place.left -= 1
                from_above.append(place)
    return rows


def check_repeated(repeated_chars: int) -> None:
    """Refuse a table whose merged cells repeat too much.

    Raises:
        TableTooLarge: when it does.
    """
    if repeated_chars > _MAX_REPEATED_CHARS:
        raise TableTooLarge(f"merged cells of a table repeat more than {_MAX_REPEATED_CHARS:,} characters")


def check_places(places: int, texts: int) -> None:
    """Refuse a table that is nearly empty and large, as one with a text in every row, each in a column of its own.

    Raises:
        TableTooLarge: when it has more than a million places for texts, and a text in less than one of twenty.
    """
    if places > _MAX_SPARSE_PLACES and places > _MOST_PLACES_A_TEXT * texts:
        raise TableTooLarge(f"a table has {places:,} cells for {texts:,} texts")


def to_markdown(rows: Sequence[Sequence[str]], header_rows: int = 0, title_rows: int = 0) -> str:
    """A Markdown table, without the rows and columns in which nothing stands; empty where nothing stands at all.

    Args:
        rows: of texts, which may have different lengths.
        header_rows: how many rows, after the titles, name the columns: several become one (`2024 Q1`). Where none does,
            the first row, if it looks like names.
        title_rows: how many rows at the top are titles, which stand above the table.
    """
    lines = [[_BLANKS.sub(" ", text).strip() for text in row] for row in rows]
    titles = dict.fromkeys(text for line in lines[:title_rows] for text in line if text)
    lines = lines[title_rows:]
    head = [line for line in lines[: min(header_rows, _MAX_HEADER_ROWS)] if any(line)]
    body = [line for line in lines[min(header_rows, _MAX_HEADER_ROWS) :] if any(line)]
    used = sorted({column for line in (*head, *body) for column, text in enumerate(line) if text})
    if not used:
        return "\n\n".join(titles)
    check_places((len(head) + len(body)) * len(used), sum(map(bool, chain(*head, *body))))
    if not head and looks_like_names([[_at(line, column) for column in used] for line in body[:2]]):
        head.append(body.pop(0))
    names = [" ".join(dict.fromkeys(filter(None, (_at(line, column) for line in head)))) for column in used]
    table = [names, ["---"] * len(used), *([_at(line, column) for column in used] for line in body)]
    return "\n\n".join([*titles, "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in table)])


def title_rows(cells: Sequence[Sequence[Cell]], rows: Sequence[Sequence[str]]) -> int:
    """How many rows at the top are titles: a single merged cell over the whole width of the table.

    Equal texts side by side are none: two columns may both be named `%`.

    Args:
        cells: the rows of the table before it was spread.
        rows: after.
    """
    width = max((column + 1 for row in rows for column, text in enumerate(row) if text), default=0)
    count = 0
    for row, texts in zip(cells, rows, strict=True):
        is_title = len(row) <= 1 and all(cell.columns > 1 for cell in row) and len(texts) >= width > 1
        if any(texts) and not is_title:
            break
        count += 1
    return count


def grouped_header_rows(cells: Sequence[Sequence[Cell]], rows: Sequence[Sequence[str]]) -> int:
    """How many rows at the top name the columns where the first one groups them (`2024` over `Q1` and `Q2`); else 0.

    Args:
        cells: the table before it was spread.
        rows: after.
    """
    first = cells[0] if cells else ()
    if len(first) < 2 or all(cell.columns == 1 for cell in first):
        return 0
    count = max(2, *(cell.rows for cell in first))
    names = [text for row in rows[:count] for text in row if text]
    return count if count < len(rows) and all(map(is_name_or_year, names)) else 0


def looks_like_names(rows: Sequence[Sequence[str]]) -> bool:
    """The first row may name the columns: rows follow it, and it has a short text in each, or a year; the corner may
    be empty."""
    if len(rows) < 2 or len(rows[0]) < 2:
        return False
    corner, *others = rows[0]
    return (not corner or _is_name(corner)) and all(map(is_name_or_year, others)) and (bool(corner) or len(others) > 1)


def is_number(text: str) -> bool:
    """A number, a date, a percentage or an amount of money, and no word."""
    return len(text) <= _MAX_NAME_CHARS and bool(_NUMBER.fullmatch(text))


def in_one_line(rows: Iterable[Sequence[str]]) -> str:
    """A table as it stands in a cell of another one."""
    lines = ([_BLANKS.sub(" ", text).strip() for text in row] for row in rows)
    return "; ".join(", ".join(filter(None, line)) for line in lines if any(line))


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_NAME_CHARS and not is_number(text)


def is_name_or_year(text: str) -> bool:
    """A short text that may name a column, as a year may."""
    return _is_name(text) or bool(_YEAR.fullmatch(text))


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


def _at(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""
