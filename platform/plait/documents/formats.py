"""Which formats can be read, and how each becomes text.

In: a document's bytes. Out: text, and the syntax it is written in. Text formats are taken as they are, so that
citations point into what the author wrote; others are converted to Markdown by libraries.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from plait.documents import text_encoding
from plait.documents.converted import Converted, Note
from plait.documents.failure import Unreadable
from plait.documents.grid import TableTooLarge
from plait.documents.html import UNESCAPED, html_to_markdown

if TYPE_CHECKING:
    from plait.documents.workbook import WorkbookText

MARKDOWN = "markdown"
TEXT = "text"
PACKED = frozenset({".docx", ".pptx", ".xlsx", ".epub"})
"""Suffixes of formats that are ZIP files."""

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_MAX_REASON_CHARS = 300


@dataclass(frozen=True)
class Format:
    """How the bytes of a format become text, and what that text is written in.

    `convert` raises Unreadable with the reason. `syntax` is `markdown`, `text` or the name of a programming language.
    """

    convert: Callable[[bytes], Converted]
    syntax: str


def decode(data: bytes) -> Converted:
    """Text in whatever encoding (plait.documents.text_encoding), with a note when that is a guess.

    Raises:
        Unreadable: when it reads in none, as pictures and programs do.
    """
    try:
        encoding = text_encoding.encoding_of(data)
    except text_encoding.UnknownEncoding as error:
        raise Unreadable(str(error)) from None
    return Converted(data.decode(encoding.codec, encoding.errors).removeprefix("\ufeff"), _notes(encoding))


def _notes(encoding: text_encoding.Encoding) -> tuple[Note, ...]:
    if not encoding.caution:
        return ()
    return (Note("encoding_guessed" if encoding.is_guessed else "bytes_replaced", encoding.caution),)


def _convert(data: bytes, suffix: str) -> Converted:
    try:
        if suffix == ".html":
            decoded = decode(data)
            return replace(html_to_markdown(decoded.text), notes=decoded.notes)
        if suffix in PACKED and data.startswith(_OLE):
            raise Unreadable(_old_or_locked(data))
        if suffix in (".docx", ".pptx", ".epub"):
            from plait.documents.office import office_to_markdown

            return Converted(office_to_markdown(data, suffix))
        if suffix == ".pdf":
            from plait.documents.pdf import pdf_to_markdown

            return pdf_to_markdown(data)
        if suffix == ".xlsx":
            from plait.documents.workbook import read_workbook

            return _with_notes(read_workbook(data))
        from markitdown import StreamInfo, converters

        # This converter, not one of markitdown's choice: it takes what is broken for plain text.
        notebook = converters.IpynbConverter()
        return Converted(str(notebook.convert(BytesIO(data), StreamInfo(extension=suffix), **UNESCAPED).markdown))
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # whatever a converter trips over concerns this document alone, and is reported
        raise Unreadable(_reason(error, suffix)) from error


def _with_notes(book: "WorkbookText") -> Converted:
    notes = []
    if book.hidden:
        notes.append(Note("hidden_sheets", f"hidden sheets were left out: {', '.join(book.hidden)}"))
    if book.unsaved:
        advice = "open and save it in a spreadsheet program"
        notes.append(Note("formulas_without_value", f"{book.unsaved:,} formulas have no saved value: {advice}"))
    return Converted(book.markdown, tuple(notes))


def _reason(error: BaseException, suffix: str) -> str:
    """Why a converter failed, in our words where it is one of the usual reasons."""
    causes = list(_causes(error))
    if any(isinstance(cause, MemoryError) for cause in causes):
        raise MemoryError from error
    for cause in causes:
        name = type(cause).__name__
        if name == "PDFPasswordIncorrect":
            return "it is protected by a password"
        if isinstance(cause, TableTooLarge):
            return str(cause)
        if isinstance(cause, RecursionError):
            return "it is nested too deeply"
        if isinstance(cause, json.JSONDecodeError):
            return f"it is not valid JSON ({cause})"
        if isinstance(cause, BadZipFile | zlib.error | EOFError) or (suffix in PACKED and isinstance(cause, KeyError)):
            return f"it is not a whole {suffix} file: it is broken, cut off, or of another format"
        if name in ("PDFSyntaxError", "PSEOF", "PDFNoValidXRef"):
            return "it is not a whole PDF: it is broken, cut off, or of another format"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"it could not be converted ({text[:_MAX_REASON_CHARS]})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it; libraries wrap them in errors of their own, some as an argument."""
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending += [cause.__cause__, cause.__context__, *cause.args]


def _old_or_locked(data: bytes) -> str:
    """Of a file in the container that Office used before 2007, and still uses around what it encrypts."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        return "it is protected by a password"
    return "it is in the format of Office before 2007: save it as DOCX, PPTX or XLSX"


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
    **{suffix: Format(partial(_convert, suffix=suffix), MARKDOWN) for suffix in {".pdf", ".ipynb", *PACKED}},
}
"""By suffix, in lower case."""
