"""Tables of web pages, and of what libraries first make a web page of (DOCX, EPUB), as Markdown.

In: the tree of a page, and the texts of cells as a converter makes them. Out: Markdown tables in which merged cells
stand in each of their places (grid.py). Tables that only lay a page out become plain blocks.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from plait.documents.grid import Cell, grouped_header_rows, in_one_line, spread, title_rows, to_markdown

_CELLS = ("td", "th")
_GROUPS = ("thead", "tbody", "tfoot")
_PARTS = frozenset({*_GROUPS, "caption", "tr", *_CELLS})
_DIGITS = re.compile(r"\s*(\d{1,6})")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass
class _Row:
    """A row: its `tr`, or None where cells stand without one; and its cells."""

    element: Any
    cells: list[Any] = field(default_factory=list)


@dataclass
class _Group:
    """Rows within which cells may be merged. `element`: the `thead`, `tbody` or `tfoot`; None: rows without one."""

    element: Any
    rows: list[_Row] = field(default_factory=list)

    @property
    def is_head(self) -> bool:
        return self.element is not None and self.element.name == "thead"


class TableConverter:
    """The part of a markdownify converter that makes tables: put it before MarkdownConverter among a class's bases.

    Cells are kept until their table is at its end: only then it is known which columns it has.
    """

    _texts: dict[int, str]

    def convert_td(self, element: Any, text: str, parent_tags: Any) -> str:
        """Keep the text of a cell; one that stands in no table is a block."""
        around = next((parent for parent in element.parents if parent.name in ("table", "caption", *_CELLS)), None)
        if around is None or around.name != "table":
            return _block(text)
        self.__dict__.setdefault("_texts", {})[id(element)] = text
        return ""

    convert_th = convert_td

    def convert_tr(self, element: Any, text: str, parent_tags: Any) -> str:
        """What stands in a row beside its cells."""
        return _block(text)

    def convert_table(self, element: Any, text: str, parent_tags: Any) -> str:
        """The table; what stands in it beside cells, as its caption, comes before it."""
        groups = _groups(element)
        texts = self.__dict__.get("_texts", {})
        cells = [[[_cell(cell, texts) for cell in row.cells] for row in group.rows] for group in groups]
        rows = spread(cells)
        if any(tag in parent_tags for tag in _CELLS):
            return f" {' '.join([*text.split(), in_one_line(rows)])} "
        flat = list(chain(*cells))
        titles = title_rows(flat, rows)
        header_rows = max(0, _header_rows(groups) - titles) or grouped_header_rows(flat[titles:], rows[titles:])
        return _block("\n\n".join(filter(None, (text.strip(), to_markdown(rows, header_rows, titles)))))


def _block(text: str) -> str:
    return f"\n\n{text.strip()}\n\n" if text.strip() else ""


def unwrap_layout(page: Any) -> None:
    """Make plain blocks of the tables that only lay a page out: those that say so, have a single row or column, or hold
    headings or other tables without naming columns."""
    for table in reversed(page.find_all("table")):  # the inner ones first
        if _is_layout(table, _groups(table)):
            for element in [table, *_parts(table)]:
                element.name = "div"


def _is_layout(table: Any, groups: Sequence[_Group]) -> bool:
    if table.get("role") in ("presentation", "none"):
        return True
    rows = [row.cells for group in groups for row in group.rows]
    if any(cell.name == "th" for row in rows for cell in row) or any(group.is_head for group in groups):
        return False
    return len(rows) < 2 or max(map(len, rows)) < 2 or table.find(["table", *_HEADINGS]) is not None


def _groups(table: Any) -> list[_Group]:
    """The rows of a table by their groups, in the order in which a reader sees them: head, body, foot.

    As browsers do, it makes a row of cells that stand in none.
    """
    groups: list[_Group] = []
    for part in _parts(table):
        if part.name in _GROUPS:
            groups.append(_Group(part))
        elif part.name != "caption":
            group, row = _around(part, table)
            if not groups or groups[-1].element is not group:
                groups.append(_Group(group))
            rows = groups[-1].rows
            if part.name == "tr":
                rows.append(_Row(part))
            else:
                if not rows or rows[-1].element is not row:
                    rows.append(_Row(row))
                rows[-1].cells.append(part)
    places = {"thead": 0, "tfoot": 2}
    return sorted(groups, key=lambda group: 1 if group.element is None else places.get(group.element.name, 1))


def _parts(table: Any) -> Iterator[Any]:
    """The groups, rows, cells and captions of a table, from above, but not of those inside it.

    Parsers leave whatever stands between them in its place, as a `form` around the rows.
    """
    pending = list(reversed(table.contents))
    while pending:
        element = pending.pop()
        if element.name in _PARTS:
            yield element
        if element.name and element.name not in ("table", "caption", *_CELLS):
            pending += reversed(element.contents)


def _around(part: Any, table: Any) -> tuple[Any, Any]:
    """The group and the row in which a part of a table stands, or None."""
    group = row = None
    for parent in part.parents:
        if parent is table or group is not None:
            break
        if parent.name == "tr" and row is None:
            row = parent
        elif parent.name in _GROUPS:
            group = parent
    return group, row


def _cell(cell: Any, texts: dict[int, str]) -> Cell:
    text = " ".join(texts.get(id(cell), "").split())
    return Cell(text, _number(cell.get("colspan")), _number(cell.get("rowspan"), least=0))


def _number(value: Any, least: int = 1) -> int:
    match = _DIGITS.match(value) if isinstance(value, str) else None
    return max(least, int(match[1])) if match else 1


def _header_rows(groups: Sequence[_Group]) -> int:
    """Those of the table's head, else those at the top that hold nothing but headers."""
    if groups and groups[0].is_head and groups[0].rows:
        return len(groups[0].rows)
    rows = [row.cells for group in groups for row in group.rows]
    count = next((n for n, row in enumerate(rows) if any(cell.name != "th" for cell in row)), len(rows))
    return count if count < len(rows) else min(count, 1)
