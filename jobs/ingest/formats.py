"""Which formats can be read, and how each becomes text.

In: a document's bytes. Out: text, and the syntax it is written in. Text formats are taken as they are, so that
citations point into what the author wrote; others are converted to Markdown by libraries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from typing import Any

from plait.jobs.ingest.html import UNESCAPED, html_to_markdown

MARKDOWN = "markdown"
TEXT = "text"
_MAX_REASON_CHARS = 300


class Unreadable(Exception):
    """A document that cannot be read; its text says why, to follow the document's name and a colon."""


@dataclass(frozen=True)
class Format:
    """How the bytes of a format become text, and what that text is written in.

    `to_text` raises Unreadable with the reason. `syntax` is `markdown`, `text` or the name of a programming language.
    """

    to_text: Callable[[bytes], str]
    syntax: str


def decode(data: bytes) -> str:
    """Text in whatever encoding: UTF-8, UTF-16 or UTF-32 by its mark, else the one in which it reads best.

    Raises:
        Unreadable: when it reads in none, as pictures and programs do.
    """
    from charset_normalizer import from_bytes

    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        best = from_bytes(data).best()
        if best is None:
            raise Unreadable(f"it is not text in any known encoding (not UTF-8 from byte {error.start})") from None
        return str(best)


def _convert(data: bytes, suffix: str) -> str:
    try:
        if suffix == ".html":
            return html_to_markdown(data)
        from markitdown import StreamInfo

        return str(_converter(suffix).convert(BytesIO(data), StreamInfo(extension=suffix), **UNESCAPED).markdown)
    except Exception as error:  # whatever a converter trips over concerns this document alone, and is reported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise Unreadable(f"it could not be converted ({reason[:_MAX_REASON_CHARS]})") from error


@cache
def _converter(suffix: str) -> Any:
    """One of markitdown's converters, not left for it to choose: it takes what is broken for plain text."""
    from markitdown import converters

    return getattr(converters, _CONVERTERS[suffix])()


_CONVERTERS = {
    ".pdf": "PdfConverter",
    ".docx": "DocxConverter",
    ".pptx": "PptxConverter",
    ".xlsx": "XlsxConverter",
    ".epub": "EpubConverter",
    ".ipynb": "IpynbConverter",
}

_SUFFIXES_BY_LANGUAGE = {
    "bash": (".sh", ".bash"),
    "c": (".c", ".h"),
    "cpp": (".cc", ".cpp", ".cxx", ".hh", ".hpp"),
    "go": (".go",),
    "java": (".java",),
    "javascript": (".js", ".jsx", ".mjs", ".cjs"),
    "python": (".py", ".pyi"),
    "rust": (".rs",),
    "tsx": (".tsx",),
    "typescript": (".ts", ".mts", ".cts"),
    # Without a grammar: split as text.
    TEXT: (
        *(".txt", ".rst", ".adoc", ".org", ".tex", ".xml", ".yaml", ".yml", ".json", ".toml", ".ini", ".cfg"),
        *(
            ".sql",
            ".cs",
            ".css",
            ".kt",
            ".kts",
            ".lua",
            ".php",
            ".proto",
            ".ps1",
            ".r",
            ".rb",
            ".scala",
            ".swift",
            ".tf",
        ),
    ),
    MARKDOWN: (".md", ".markdown"),
}

FORMATS: dict[str, Format] = {
    **{suffix: Format(decode, syntax) for syntax, suffixes in _SUFFIXES_BY_LANGUAGE.items() for suffix in suffixes},
    **{suffix: Format(partial(_convert, suffix=".html"), MARKDOWN) for suffix in (".html", ".htm", ".xhtml")},
    **{suffix: Format(partial(_convert, suffix=suffix), MARKDOWN) for suffix in _CONVERTERS},
}
"""By suffix, in lower case."""
