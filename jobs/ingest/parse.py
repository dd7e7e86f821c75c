"""From bytes to clean text: decode, convert, find the headings.

In: a document's bytes and suffix. Out: a `Document`, or `Unreadable` with the reason. Text formats are taken as they
are, so that citations point into what the author wrote; others are converted to Markdown. It does not know chunks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import yaml
from markdown_it import MarkdownIt

_FRONT_MATTER = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)
_MAX_NAME_CHARS = 200


class Unreadable(Exception):
    """A document that cannot be read; its text says why, to follow the document's name and a colon."""


@dataclass(frozen=True)
class Heading:
    """A heading of a Markdown document: where it starts in the text, its level from 1, its plain words."""

    start: int
    level: int
    words: str


@dataclass(frozen=True)
class Document:
    """A document's text as it will be chunked and cited, and what it says about its structure."""

    text: str
    title: str
    is_markdown: bool
    headings: tuple[Heading, ...] = ()


def parse(data: bytes, source: str) -> Document:
    """Read a document; `source` is its name, whose suffix says the format.

    Raises:
        Unreadable: when it is not what its suffix says, or holds no text.
    """
    name = PurePosixPath(source)
    to_text, is_markdown = _FORMATS[name.suffix.lower()]
    text = to_text(data).replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise Unreadable("it holds NUL bytes, so it is not text")
    if not text.strip():
        raise Unreadable("it holds no text")
    if not is_markdown:
        return Document(text, shorten(name.stem), is_markdown=False)
    body_start, title = _front_matter(text)
    headings = tuple(heading for heading in _headings(text) if heading.start >= body_start)
    title = title or next((heading.words for heading in headings if heading.words), name.stem)
    return Document(text, shorten(title), is_markdown=True, headings=headings)


def shorten(name: str) -> str:
    """A title or heading in one line of at most 200 characters."""
    line = " ".join(name.split())
    return line if len(line) <= _MAX_NAME_CHARS else line[: _MAX_NAME_CHARS - 1] + "…"


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is not UTF-8 text (byte {error.start})") from None


def _html_to_markdown(data: bytes) -> str:
    from markitdown import StreamInfo

    try:
        data.decode("utf-8")
        charset = "utf-8"
    except UnicodeDecodeError:
        charset = None  # markitdown finds it out
    try:
        result = _converter().convert_stream(BytesIO(data), stream_info=StreamInfo(extension=".html", charset=charset))
    except Exception as error:  # whatever a converter trips over concerns this document alone, and is reported
        raise Unreadable(f"it could not be converted ({type(error).__name__}: {error})") from error
    return str(result.markdown)


@cache
def _converter() -> Any:
    from markitdown import MarkItDown

    return MarkItDown(enable_plugins=False)


_FORMATS: dict[str, tuple[Callable[[bytes], str], bool]] = {
    ".md": (_decode, True),
    ".markdown": (_decode, True),
    ".txt": (_decode, False),
    ".rst": (_decode, False),
    ".html": (_html_to_markdown, True),
    ".htm": (_html_to_markdown, True),
}
SUFFIXES = frozenset(_FORMATS)
"""Suffixes of the formats that can be read."""


def _front_matter(text: str) -> tuple[int, str]:
    """Where the text after a YAML front matter starts, and the title in it; 0 and "" without one."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return 0, ""
    try:
        values = yaml.safe_load(match[1])
    except yaml.YAMLError:
        return 0, ""  # two rules with text between them
    if not isinstance(values, dict):
        return 0, ""
    title = values.get("title")
    return match.end(), title if isinstance(title, str) else ""


def _headings(text: str) -> list[Heading]:
    """The headings of a Markdown text, those in code blocks, quotes and lists left out."""
    line_starts = [0]
    for line in text.split("\n"):
        line_starts.append(line_starts[-1] + len(line) + 1)
    tokens = MarkdownIt("commonmark").parse(text)
    headings = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            words = "".join(part.content for part in inline.children or [] if part.type in ("text", "code_inline"))
            headings.append(Heading(line_starts[token.map[0]], int(token.tag[1]), shorten(words)))
    return headings
