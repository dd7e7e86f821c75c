"""Tables in a Markdown text: where they are, which columns they have, and how one is cut into pieces.

In: a text, and the spans that a splitter cut it into. Out: spans that cut tables between rows, or where a row is longer
than a span between cells, and for each span the columns of the table that it continues.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from operator import itemgetter

from plait.documents.split import Span
from plait.documents.table_columns import MAX_COLUMNS_BYTES, row_of

_RULE = re.compile(r"^(?:[ \t]*>)*[|:\- \t]+$", re.MULTILINE)
_RULE_CELL = re.compile(r":?-+:?")
_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})(?P<info>.*)", re.MULTILINE)
_QUOTE = re.compile(r"(?:[ \t]*>)*[ \t]*")
_QUOTE_OR_ITEM = re.compile(r"(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t])))*[ \t]*")
_BAR = re.compile(r"(?<!\\)\|")
_MAX_NAME_CHARS = 200


@dataclass(frozen=True)
class MarkdownTable:
    """A table: `start` of its header, `body_start` of its first row, `end` after its last one."""

    text: str
    start: int
    body_start: int
    end: int

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Their names, in one line each."""
        header = self.text[self.start : self.text.index("\n", self.start)]
        names = [" ".join(header[start:end].split()) for start, end in _cells(header, _QUOTE_OR_ITEM)]
        return tuple(name if len(name) <= _MAX_NAME_CHARS else name[: _MAX_NAME_CHARS - 1] + "…" for name in names)

    @cached_property
    def rows(self) -> tuple[Span, ...]:
        """The places of its rows, without the line ends."""
        places = []
        start = self.body_start
        while start < self.end:
            line_end = self.text.find("\n", start, self.end)
            line_end = self.end if line_end < 0 else line_end
            places.append((start, line_end))
            start = line_end + 1
        return tuple(places)

    @cached_property
    def _row_starts(self) -> list[int]:
        return [start for start, _ in self.rows]

    @cached_property
    def is_named(self) -> bool:
        """It says what its columns are."""
        return any(self.columns)

    def columns_in(self, span: Span) -> str:
        """The columns that a span continues, as a row of Markdown; empty where it begins before the first row."""
        if not self.body_start <= span[0] < self.end or not self.is_named:
            return ""
        row = self.rows[bisect_right(self._row_starts, span[0]) - 1]
        if span[1] > row[1]:
            return row_of(self.columns)
        starts = cell_starts(self, row)
        names = self.columns[bisect_right(starts, span[0]) - 1 : bisect_left(starts, span[1])]
        return row_of(names) if any(names) else ""


@lru_cache(maxsize=2)  # a row of very many cells is cut into very many spans
def cell_starts(table: MarkdownTable, row: Span) -> list[int]:
    """Where the cells of a row begin, each with the bar before it."""
    others = _cells(table.text[slice(*row)])[1:]
    return [row[0], *(row[0] + start - 1 for start, _ in others)]


def find_tables(text: str) -> list[MarkdownTable]:
    """The tables of a Markdown text that have rows, in order; those in code blocks are none.

    They may stand in quotes and items of lists.
    """
    tables: list[MarkdownTable] = []
    fences: list[Span] | None = None
    for rule in _RULE.finditer(text) if "|" in text else ():
        start = text.rfind("\n", 0, max(0, rule.start() - 1)) + 1
        header = text[start : max(start, rule.start() - 1)]
        is_rule = "|" in rule[0] and all(_RULE_CELL.fullmatch(rule[0][a:b].strip()) for a, b in _cells(rule[0]))
        if not is_rule or "|" not in header or len(_cells(header, _QUOTE_OR_ITEM)) != len(_cells(rule[0])):
            continue
        if tables and start < tables[-1].end:
            continue
        fences = _fenced(text) if fences is None else fences
        before = bisect_right(fences, start, key=itemgetter(0)) - 1
        if before >= 0 and start < fences[before][1]:
            continue
        is_item = _start(header, _QUOTE_OR_ITEM) > _start(header)
        end = _end_of_body(text, rule.end() + 1, is_item)
        if rule.end() + 1 < end:
            tables.append(MarkdownTable(text, start, rule.end() + 1, end))
    return tables


def columns_finder(tables: Sequence[MarkdownTable]) -> Callable[[Span], str]:
    """What tells the columns that a span continues, as a row of Markdown; empty where it continues no table."""
    starts = [table.start for table in tables]

    def columns_in(span: Span) -> str:
        number = bisect_right(starts, span[0]) - 1
        return tables[number].columns_in(span) if number >= 0 else ""

    return columns_in


def _cells(line: str, indent: re.Pattern[str] = _QUOTE) -> list[Span]:
    """The places of a row's cells between its bars. `indent`: what stands before the first one."""
    bars = [bar.start() for bar in _BAR.finditer(line)]
    begin, stop = _start(line, indent), len(line.rstrip())
    if not bars or bars[0] != begin:
        bars.insert(0, begin - 1)
    if bars[-1] != stop - 1 or len(bars) == 1:
        bars.append(len(line))
    return [(first + 1, second) for first, second in pairwise(bars)]


def _start(line: str, indent: re.Pattern[str] = _QUOTE) -> int:
    match = indent.match(line)
    return match.end() if match else 0


def _end_of_body(text: str, start: int, is_item: bool) -> int:
    """After the last row: a row has a bar, and an empty line ends the table, as the next item ends one in a list."""
    end = start
    while end < len(text):
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end
        line = text[end:line_end]
        if "|" not in line or (is_item and _start(line, _QUOTE_OR_ITEM) > _start(line)):
            break
        end = line_end + 1
    return min(end, len(text))


def _fenced(text: str) -> list[Span]:
    """The places of code blocks."""
    places: list[Span] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence["fence"].startswith(opened["fence"]) and not fence["info"].strip():
            places.append((opened.start(), fence.end()))
            opened = None
    return [*places, (opened.start(), len(text))] if opened else places


class TableCutter:
    """Cuts tables so that each piece, with the columns that it needs, has at most so many tokens.

    Args:
        count: counts the tokens of each of some texts.
        max_tokens: of a piece and its columns.
        max_chars: of a piece.
        cut: cuts what is longer than a piece and no table into spans of at most half a piece.
    """

    def __init__(
        self,
        count: Callable[[Sequence[str]], list[int]],
        max_tokens: int,
        max_chars: int,
        cut: Callable[[str], list[Span]],
    ) -> None:
        self._count, self._max_tokens, self._max_chars, self._cut = count, max_tokens, max_chars, cut

    def spans(self, text: str, tables: Sequence[MarkdownTable], spans: Sequence[Span]) -> list[Span]:
        """The spans, but where a table is cut: there its pieces, and what the spans hold before and after it."""
        pending = list(reversed(spans))
        done: list[Span] = []
        for table in tables:
            while pending and pending[-1][1] <= table.start:
                done.append(pending.pop())
            inside = []
            while pending and pending[-1][0] < table.end:
                inside.append(pending.pop())
            if len(inside) < 2:
                pending += inside
                continue
            pieces = self._pieces(table)
            before = _trimmed(text, inside[0][0], table.start)
            if before is not None:
                whole = (before[0], pieces[0][1])
                if self._fits(text, whole):
                    pieces[0] = whole
                else:
                    done.append(before)
            done += pieces
            after = _trimmed(text, table.end, inside[-1][1])
            if after is not None:
                pending.append(after)
        return [*done, *reversed(pending)]

    def _pieces(self, table: MarkdownTable) -> list[Span]:
        text = table.text
        header = (table.start, table.body_start)
        columns = row_of(table.columns)
        header_tokens, columns_tokens = self._count([text[slice(*header)], columns])
        is_wide = len(columns.encode()) > MAX_COLUMNS_BYTES or columns_tokens > self._max_tokens // 2
        row_tokens = self._count([text[slice(*row)] for row in table.rows])
        pieces: list[Span] = []
        begun = table.start
        end, tokens = table.body_start - 1, header_tokens
        for row, count in zip(table.rows, row_tokens, strict=True):
            is_first = begun == table.start
            if (
                tokens + count <= self._max_tokens
                and row[1] - begun <= self._max_chars
                and not (is_wide and not is_first)
            ):
                end, tokens = row[1], tokens + count
                continue
            pieces += self._whole_or_cut(text, (begun, end)) if begun < end else []
            begun, end, tokens = row[0], row[1], columns_tokens + count
            if is_wide or tokens > self._max_tokens or row[1] - row[0] > self._max_chars:
                pieces += self._pieces_of_row(table, row)
                begun, end, tokens = row[1] + 1, row[1] + 1, columns_tokens
        pieces += self._whole_or_cut(text, (begun, end)) if begun < end else []
        return [place for start, end in pieces if (place := _trimmed(text, start, end)) is not None]

    def _whole_or_cut(self, text: str, span: Span) -> list[Span]:
        """A header may be longer than a piece."""
        if self._fits(text, span):
            return [span]
        return [(span[0] + start, span[0] + end) for start, end in self._cut(text[slice(*span)])]

    def _pieces_of_row(self, table: MarkdownTable, row: Span) -> Iterator[Span]:
        """As many cells as fit with the names of their columns."""
        starts = cell_starts(table, row)
        cells = list(zip(starts, [*starts[1:], row[1]], strict=True))
        names = [*table.columns, *([""] * len(cells))][: len(cells)]
        cell_tokens = self._count([table.text[slice(*cell)] for cell in cells])
        name_tokens = self._count([f"| {name}" for name in names])
        first, tokens, name_bytes = 0, 0, 0
        for number, cell in enumerate(cells):
            cost, size = cell_tokens[number] + name_tokens[number], len(names[number].encode()) + 3
            is_full = tokens + cost > self._max_tokens or name_bytes + size > MAX_COLUMNS_BYTES - 4
            if first < number and (is_full or cell[1] - cells[first][0] > self._max_chars):
                yield from self._one_or_cut(table.text, (cells[first][0], cells[number - 1][1]), tokens)
                first, tokens, name_bytes = number, 0, 0
            tokens, name_bytes = tokens + cost, name_bytes + size
        if first < len(cells):
            yield from self._one_or_cut(table.text, (cells[first][0], row[1]), tokens)

    def _one_or_cut(self, text: str, span: Span, tokens: int) -> list[Span]:
        if tokens <= self._max_tokens and span[1] - span[0] <= self._max_chars:
            return [span]
        return [(span[0] + start, span[0] + end) for start, end in self._cut(text[slice(*span)])]

    def _fits(self, text: str, span: Span) -> bool:
        return span[1] - span[0] <= self._max_chars and self._count([text[slice(*span)]])[0] <= self._max_tokens


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """A span without the blanks around it; None where nothing else is in it."""
    piece = text[start:end]
    if not piece.strip():
        return None
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
