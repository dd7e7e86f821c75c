"""From bytes to a document: its clean text, its title and its headings.

In: a document's bytes and name. Out: a `Document`, or `Unreadable` with the reason. It knows neither how a format is
read (formats.py) nor chunks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from plait.documents.converted import Converted, Note
from plait.documents.failure import Unreadable
from plait.documents.formats import FORMATS, MARKDOWN, TEXT
from plait.documents.front_matter import front_matter_of

_MAX_NAME_CHARS = 200
_MAX_LINE_OF_CODE = 5_000


@dataclass(frozen=True)
class Heading:
    """A heading of a Markdown document: its place in the text, its level from 1, its plain words."""

    start: int
    end: int
    level: int
    words: str


@dataclass(frozen=True)
class Document:
    """A document's text as it will be chunked and cited, and what it says about its structure.

    `syntax` is what the text is written in: `markdown`, `text`, or the name of a programming language.
    """

    text: str
    title: str
    syntax: str = TEXT
    headings: tuple[Heading, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    given_title: str = ""
    """A title that stands beside the text, as in a column of its own; empty where it is taken from text or name."""
    notes: tuple[Note, ...] = ()


def parse(data: bytes, source: str) -> Document:
    """Read a document; `source` is its name, whose suffix says the format.

    Raises:
        Unreadable: when it is not what its suffix says, or holds no text.
    """
    path = PurePosixPath(source)
    format = FORMATS[path.suffix.lower()]
    converted = format.convert(data)
    if format.syntax in (MARKDOWN, TEXT):
        return parse_text(converted, format.syntax, name=path.stem)
    if max(map(len, converted.text.split("\n"))) > _MAX_LINE_OF_CODE:
        raise Unreadable("it is minified or generated code: nobody can read such long lines")
    return parse_text(converted, format.syntax, name=path.name)


def parse_text(
    converted: Converted, syntax: str, *, name: str, title: str = "", metadata: Mapping[str, Any] | None = None
) -> Document:
    """A document of a text. Its title is `title`, or else that in its front matter, its first heading of level 1, the
    title that was converted with it, its first heading, or its `name`.

    Raises:
        Unreadable: when it holds no text.
    """
    text = converted.text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise Unreadable("it holds NUL bytes, so it is not text")
    if not text.strip():
        raise Unreadable("it holds no text")
    headings: tuple[Heading, ...] = ()
    own_title = ""
    if syntax == MARKDOWN:
        front_matter = front_matter_of(text)
        headings = tuple(heading for heading in _headings(text) if heading.start >= front_matter.end)
        lowest = 1 if converted.title else 6
        titles = (heading.words for heading in headings if heading.words and heading.level <= lowest)
        own_title = front_matter.title or next(titles, converted.title)
    return Document(
        text,
        shorten(title or own_title or name),
        syntax,
        headings,
        dict(metadata or {}),
        shorten(title),
        converted.notes,
    )


def shorten(name: str) -> str:
    """A title or heading in one line of at most 200 characters."""
    line = " ".join(name.split())
    return line if len(line) <= _MAX_NAME_CHARS else line[: _MAX_NAME_CHARS - 1] + "…"


def _headings(text: str) -> list[Heading]:
    """The headings of a Markdown text, those in code blocks, quotes and lists left out."""
    line_starts = [0]
    for line in text.split("\n"):
        line_starts.append(line_starts[-1] + len(line) + 1)
    tokens = MarkdownIt("commonmark").parse(text)
    headings = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            words = "".join(map(_words, inline.children or []))
            start, end = (line_starts[line] for line in token.map)
            headings.append(Heading(start, end, int(token.tag[1]), shorten(words)))
    return headings


def _words(part: Token) -> str:
    """What a part of a heading reads as: markup and HTML as nothing, the end of a line as a blank."""
    if part.type in ("text", "code_inline", "image"):
        return part.content
    return " " if part.type in ("softbreak", "hardbreak") else ""
