"""Tables of web pages, and of what libraries first make a web page of (DOCX, EPUB), as Markdown.

In: the tree of a page, and the texts of cells as a converter makes them. Out: Markdown tables in which merged cells
stand in each of their places (grid.py). Tables that only lay a page out become plain blocks.
"""

import re
from collections.abc import Sequence
from typing import Any

from plait.jobs.ingest.grid import Cell, grouped_header_rows, in_one_line, spread, to_markdown

_CELLS = ("td", "th")
_GROUPS = ("thead", "tbody", "tfoot")
_DIGITS = re.compile(r"\s*(\d{1,6})")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class TableConverter:
    """The part of a markdownify converter that makes tables: put it before MarkdownConverter among a class's bases.

    Cells are kept until their table is at its end: only then it is known which columns it has.
    """

    _texts: dict[int, str]

    def convert_td(self, element: Any, text: str, parent_tags: Any) -> str:
        """Keep the text of a cell."""
        self.__dict__.setdefault("_texts", {})[id(element)] = text
        return ""

    convert_th = convert_td

    def convert_tr(self, element: Any, text: str, parent_tags: Any) -> str:
        """A row says nothing by itself."""
        return ""

    def convert_table(self, element: Any, text: str, parent_tags: Any) -> str:
        """The table; what stands in it beside cells, as its caption, comes before it."""
        groups = _groups(element)
        texts = self.__dict__.get("_texts", {})
        cells = [[[_cell(cell, texts) for cell in _cells_of(row)] for row in group] for group in groups]
        rows = spread(cells)
        if any(tag in parent_tags for tag in _CELLS):
            return f" {in_one_line(rows)} "
        header_rows = _header_rows(groups) or grouped_header_rows(cells[0] if cells else (), rows)
        return "\n\n" + "\n\n".join(filter(None, (text.strip(), to_markdown(rows, header_rows)))) + "\n\n"


def unwrap_layout(page: Any) -> None:
    """Make plain blocks of the tables that only lay a page out: those that say so, have a single row or column, or hold
    headings or other tables without naming columns."""
    for table in reversed(page.find_all("table")):  # the inner ones first
        groups = _groups(table)
        if _is_layout(table, groups):
            rows = [row for group in groups for row in group]
            groups_of = _children(table, (*_GROUPS, "caption"))
            for element in [table, *groups_of, *rows, *(cell for row in rows for cell in _cells_of(row))]:
                element.name = "div"


def _is_layout(table: Any, groups: Sequence[Sequence[Any]]) -> bool:
    if table.get("role") in ("presentation", "none"):
        return True
    cells = [_cells_of(row) for group in groups for row in group]
    if any(cell.name == "th" for row in cells for cell in row) or bool(_children(table, ("thead",))):
        return False
    return len(cells) < 2 or max(map(len, cells)) < 2 or table.find(["table", *_HEADINGS]) is not None


def _groups(table: Any) -> list[list[Any]]:
    """The rows of a table by their groups, in the order in which a reader sees them: head, body, foot."""
    head: list[list[Any]] = []
    body: list[list[Any]] = []
    foot: list[list[Any]] = []
    is_loose = False
    for element in _children(table, (*_GROUPS, "tr")):
        if element.name == "tr":
            if not is_loose:
                body.append([])
            body[-1].append(element)
        else:
            place = {"thead": head, "tfoot": foot}.get(element.name, body)
            place.append(_children(element, ("tr",)))
        is_loose = element.name == "tr"
    return [*head, *body, *foot]


def _cells_of(row: Any) -> list[Any]:
    return _children(row, _CELLS)


def _children(element: Any, names: Sequence[str]) -> list[Any]:
    return [child for child in element.contents if child.name in names]


def _cell(cell: Any, texts: dict[int, str]) -> Cell:
    text = " ".join(texts.get(id(cell), "").split())
    return Cell(text, _number(cell.get("colspan")), _number(cell.get("rowspan"), least=0))


def _number(value: Any, least: int = 1) -> int:
    match = _DIGITS.match(value) if isinstance(value, str) else None
    return max(least, int(match[1])) if match else 1


def _header_rows(groups: Sequence[Sequence[Any]]) -> int:
    """Those of the table's head, else those at the top that hold nothing but headers."""
    if groups and groups[0] and groups[0][0].parent.name == "thead":
        return len(groups[0])
    rows = [row for group in groups for row in group]
    count = next((n for n, row in enumerate(rows) if any(cell.name != "th" for cell in _cells_of(row))), len(rows))
    return count if count < len(rows) else min(count, 1)
