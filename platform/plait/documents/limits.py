"""What a document may hold, told before or after it is converted.

In: a document's bytes, or its text. Out: nothing, or `Unreadable` with the limit that it breaks. These are the limits
that can be looked up; memory and time are those of the process that reads it (reader_process.py).
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from plait.documents.failure import Unreadable
from plait.documents.formats import PACKED
from plait.recipes import DocumentLimits

_MAX_PARTS = 100_000
_BLOCK_BYTES = 2**20


def check_bytes(data: bytes, source: str, limits: DocumentLimits) -> None:
    """Refuse a document that is too large once it is unpacked.

    Raises:
        Unreadable: when it is, or is locked.
    """
    suffix = PurePosixPath(source).suffix.lower()
    if len(data) > limits.max_bytes:
        raise Unreadable(f"it has {_size(len(data))}, more than the {_size(limits.max_bytes)} of limits.max_bytes")
    if suffix in PACKED:
        _check_packed(data, suffix, limits)
    elif suffix == ".pdf":
        _check_pages(data, limits)


def check_text(text: str, limits: DocumentLimits) -> None:
    """Refuse a document with too much text.

    Raises:
        Unreadable: when it has.
    """
    if len(text) > limits.max_chars:
        raise Unreadable(f"it has {len(text):,} characters, more than the {limits.max_chars:,} of limits.max_chars")


def _check_packed(data: bytes, suffix: str, limits: DocumentLimits) -> None:
    """By the file's own directory: what is read of a part ends where that says."""
    try:
        packed = ZipFile(BytesIO(data))
    except (BadZipFile, ValueError, EOFError):
        return  # its converter says what is wrong with it
    with packed:
        parts = packed.infolist()
        if len(parts) > _MAX_PARTS:
            raise Unreadable(f"it has {len(parts):,} parts, more than the {_MAX_PARTS:,} that are read")
        growth = sum(part.file_size for part in parts) - len(data)
        if growth > limits.max_inflated_bytes:
            raise Unreadable(
                f"unpacking it adds {_size(growth)}, more than the {_size(limits.max_inflated_bytes)} of "
                "limits.max_inflated_bytes"
            )
        if any(part.flag_bits & 1 for part in parts):
            raise Unreadable("it is protected by a password")
        if suffix == ".xlsx":
            _check_cells(packed, parts, limits)


def _check_cells(packed: ZipFile, parts: list[ZipInfo], limits: DocumentLimits) -> None:
    cells = 0
    for part in parts:
        if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
            cut = b""  # of a tag at the edge of a block
            for block in _blocks(packed, part):
                cells += (cut + block).count(b"<c ") + (cut + block).count(b"<c>")
                cut = block[-2:]
                if cells > limits.max_cells:
                    raise Unreadable(f"it has more than the {limits.max_cells:,} cells of limits.max_cells")


def _blocks(packed: ZipFile, part: ZipInfo) -> Iterator[bytes]:
    try:
        with packed.open(part) as opened:
            while block := opened.read(_BLOCK_BYTES):
                yield block
    except (BadZipFile, NotImplementedError, EOFError, OSError):
        return  # its converter says what is wrong with it


def _check_pages(data: bytes, limits: DocumentLimits) -> None:
    """By what the document says of itself; one that says less than it has is held by memory and time."""
    from pdfminer.pdfdocument import PDFDocument
    from pdfminer.pdfparser import PDFParser
    from pdfminer.pdftypes import resolve1

    try:
        tree = resolve1(PDFDocument(PDFParser(BytesIO(data))).catalog.get("Pages"))
        pages = resolve1(tree.get("Count")) if isinstance(tree, dict) else None
    except MemoryError:
        raise
    except Exception:  # its converter says what is wrong with it
        return
    if isinstance(pages, int) and pages > limits.max_pages:
        raise Unreadable(f"it has {pages:,} pages, more than the {limits.max_pages:,} of limits.max_pages")


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count:,} bytes"
