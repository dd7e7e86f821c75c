"""Documents that take more than they may: each ends alone, with the reason, and the next one is read."""

import io
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from plait.documents import reader as reader_module
from plait.documents.chunker import Origin
from plait.documents.failure import Failure, Unreadable
from plait.documents.load import load
from plait.documents.read import DocumentFile
from plait.documents.reader import DocumentReader
from plait.documents.rows import RowReader
from plait.errors import ModelNotFound, PlaitError
from plait.recipes import ChunkConfig, DocumentLimits, IngestRecipe

LIMITS = DocumentLimits(
    max_bytes=2**20,
    max_inflated_bytes=8 * 2**20,
    max_pages=50,
    max_cells=100,
    max_chars=100_000,
    max_memory_bytes=512 * 2**20,
    max_seconds=20,
)


@pytest.fixture(scope="module")
def reader() -> Iterator[DocumentReader]:
    """One for all: what a document does to it must not be seen by the next."""
    reader = DocumentReader(LIMITS)
    yield reader
    reader.close()


def packed(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def locked() -> bytes:
    data = bytearray(packed({"word/document.xml": b"<x/>"}))
    data[6] |= 1  # the flag of a part, and the same in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def pdf_that_says(pages: int, unpacked_bytes: int = 10) -> bytes:
    packer = zlib.compressobj(1)
    stream = b"".join(packer.compress(bytes(n)) for n in (unpacked_bytes // 10,) * 10) + packer.flush()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count %d>>" % pages,
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(stream), stream),
    ]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(b"%010d 00000 n \n" % len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(places)
    return data + table + b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(data)


OLE = bytes.fromhex("d0cf11e0a1b11ae1")

TOO_MUCH: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "bytes": ("a.md", lambda: b"x " * 2**20, "more than the 1 MiB of limits.max_bytes"),
    "characters": ("a.md", lambda: b"x " * 60_000, "120,000 characters, more than the 100,000 of limits.max_chars"),
    "an EPUB of one long text": ("a.epub", lambda: packed({"a.html": b"word " * 4_000_000}), "limits.max_inflated_b"),
    "a DOCX of many parts": (
        "a.docx",
        lambda: packed({f"word/{n}.xml": b" " * 2**20 for n in range(12)}),
        "limits.max_inflated_bytes",
    ),
    "cells": (
        "a.xlsx",
        lambda: packed({"xl/worksheets/sheet1.xml": b"<row>" + b'<c r="A1"/>' * 200 + b"</row>"}),
        "more than the 100 cells of limits.max_cells",
    ),
    "pages": ("a.pdf", lambda: pdf_that_says(51), "51 pages, more than the 50 of limits.max_pages"),
    "nested HTML": ("a.html", lambda: b"<blockquote>" * 3_000 + b"x", "nested too deeply"),
    "nested JSON": ("a.ipynb", lambda: b"[" * 100_000, "nested too deeply"),
    "a lone surrogate": (
        "a.ipynb",
        lambda: b'{"cells":[{"cell_type":"markdown","source":["\\ud83d"]}]}',
        "half a char",
    ),
    "a locked ZIP": ("a.docx", locked, "protected by a password"),
    "a locked Office file": (
        "a.xlsx",
        lambda: OLE + "EncryptedPackage".encode("utf-16-le"),
        "protected by a password",
    ),
    "an old Office file": ("a.docx", lambda: OLE + bytes(512), "Office before 2007"),
    "half a ZIP": ("a.pptx", lambda: packed({"ppt/presentation.xml": b"<x/>"})[:40], "not a whole .pptx file"),
    "half a PDF": ("a.pdf", lambda: pdf_that_says(1)[:20], "not a whole PDF"),
}


@pytest.mark.parametrize(("name", "make", "reason"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_what_is_too_much_or_broken_is_said_in_a_sentence(
    reader: DocumentReader, name: str, make: Callable[[], bytes], reason: str
) -> None:
    with pytest.raises(Unreadable, match=reason.replace(".", r"\.")):
        reader.parse(make(), name)
    assert reader.parse(b"# Next", "b.md").title == "Next"


def test_what_takes_too_much_memory_ends_alone() -> None:
    reader = DocumentReader(LIMITS.model_copy(update={"max_memory_bytes": 128 * 2**20, "max_bytes": 2**22}))
    bomb = pdf_that_says(1, unpacked_bytes=200 * 2**20)
    with pytest.raises(Unreadable, match=r"more than the 128 MiB of limits\.max_memory_bytes"):
        reader.parse(bomb, "a.pdf")
    assert reader.parse(b"# Next", "b.md").title == "Next"
    reader.close()


def test_what_takes_too_long_ends_alone() -> None:
    reader = DocumentReader(LIMITS.model_copy(update={"max_seconds": 0.3}))
    reader.parse(b"x", "a.md")
    with pytest.raises(Unreadable, match=r"takes more than the 0\.3 s of limits\.max_seconds"):
        reader.parse(b"![" * 49_000, "a.md")
    assert reader.parse(b"# Next", "b.md").title == "Next"
    reader.close()


def test_what_ends_the_process_is_unreadable_and_another_process_reads_on() -> None:
    reader = DocumentReader(LIMITS)
    reader.parse(b"x", "a.md")
    before = process_of(reader)
    before.suspend()  # so that it is surely at work when it dies
    threading.Timer(0.5, before.kill).start()
    with pytest.raises(Unreadable, match=r"it ended the process that read it \(SIGKILL\)"):
        reader.parse(b"x", "a.md")
    assert reader.parse(b"# Next", "b.md").title == "Next"
    assert process_of(reader) != before
    reader.close()


def test_a_process_that_ended_between_documents_is_no_fault_of_the_next(reader: DocumentReader) -> None:
    reader.parse(b"x", "a.md")
    process_of(reader).kill()
    psutil.wait_procs([process_of(reader)], timeout=5)
    assert reader.parse(b"# Next", "b.md").title == "Next"


def test_stopping_ends_what_is_being_read_at_once(reader: DocumentReader) -> None:
    reader.parse(b"x", "a.md")
    process_of(reader).suspend()
    threading.Timer(0.5, reader.stop).start()
    with pytest.raises(Unreadable):
        reader.parse(b"x", "a.md")


def test_the_process_ends_with_the_one_that_started_it() -> None:
    reader = DocumentReader(LIMITS)
    reader.parse(b"x", "a.md")
    process = process_of(reader)
    assert reader._connection is not None
    reader._connection.close()  # as the system does when a process is killed
    _, alive = psutil.wait_procs([process], timeout=5)
    assert not alive
    reader.close()


def test_a_process_that_does_not_start_is_no_fault_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_PROGRAM", "raise SystemExit(1)")
    with pytest.raises(PlaitError, match="does not start"):
        DocumentReader(LIMITS).parse(b"x", "a.md")


def test_an_error_of_ours_comes_through(reader: DocumentReader, tmp_path: Path) -> None:
    document = reader.parse(b"x", "a.md")
    with pytest.raises(ModelNotFound, match="holds no tokenizer"):
        reader.chunk(document, Origin("t", "a.md", "v", 0), tmp_path, ChunkConfig(), "s")


def test_a_process_lasts_however_much_memory_who_started_it_once_had() -> None:
    large = b"x" * LIMITS.max_memory_bytes  # Linux counts it as what the new process had
    del large
    reader = DocumentReader(LIMITS)
    reader.parse(b"x", "a.md")
    first = process_of(reader)
    reader.parse(b"x", "a.md")
    assert process_of(reader) == first
    first.suspend()
    threading.Timer(0.5, first.kill).start()
    with pytest.raises(Unreadable, match=r"it ended the process that read it \(SIGKILL\)"):
        reader.parse(b"x", "a.md")
    reader.close()


def test_it_needs_neither_ray_nor_torch(reader: DocumentReader) -> None:
    reader.parse(b"<p>x</p>", "a.html")
    mapped = {Path(file.path).name for file in process_of(reader).memory_maps()}
    assert not [name for name in mapped if name.startswith(("_raylet", "libtorch"))]


def test_a_pipe_in_a_folder_is_not_waited_for(reader: DocumentReader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    recipe = IngestRecipe(sources=[str(tmp_path)])
    with RowReader(recipe.table) as rows:
        outcome = load(DocumentFile("a.md", str(tmp_path / "a.md")), recipe, "s", rows, reader)
    assert outcome == Failure("a.md", "it is no regular file")


def process_of(reader: DocumentReader) -> psutil.Process:
    assert reader._process is not None
    return psutil.Process(reader._process.pid)
