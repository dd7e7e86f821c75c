"""The columns of a table that a chunk continues, at the end of its heading: `Sales > | Region | Q1 |`.

A table longer than a chunk names its columns in its first one only. The others have them in their heading, so that they
are embedded, searched by words, reranked and quoted with them, while their text stays what is written in the document.
"""

import re
from collections.abc import Sequence

MAX_COLUMNS_BYTES = 1_200
"""Of all columns of a heading; its path has at most 800 bytes, and Milvus takes 2,048."""

_COLUMNS = re.compile(r"(?:^| > )(\|(?: .*)? \|)$")
_BAR = re.compile(r"(?<!\\)\|")


def row_of(columns: Sequence[str]) -> str:
    """Columns as a row of a Markdown table."""
    return f"| {' | '.join(columns)} |"


def with_columns(heading: str, row: str) -> str:
    """A heading that ends in the columns of `row`, a row of a Markdown table; empty: in none."""
    return " > ".join(part for part in (heading, row) if part)


def columns_of(heading: str) -> str:
    """The columns that a heading ends in, as a row of a Markdown table; empty where it has none."""
    match = _COLUMNS.search(heading)
    return match[1] if match else ""


def without_columns(heading: str) -> str:
    """The heading alone."""
    match = _COLUMNS.search(heading)
    return heading[: match.start()] if match else heading


def header_of(heading: str) -> str:
    """The first two lines of the Markdown table whose rows a chunk holds; empty where it continues none."""
    row = columns_of(heading)
    return f"{row}\n|{' --- |' * (len(_BAR.findall(row)) - 1)}\n" if row else ""
