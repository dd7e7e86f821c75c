"""Files that came over the API: kept, named, attached, forgotten; and what ingestion makes of them."""

import io
import logging
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from changed_settings import changed_settings
from pydantic import ValidationError

from plait.documents.load import load
from plait.documents.read import DocumentFile, find_documents, with_uploaded
from plait.documents.reader import DocumentReader
from plait.documents.rows import RowReader
from plait.documents.uploads import attachments, uploaded_files
from plait.documents.uploads.attachments import Attachment
from plait.documents.uploads.reach import Reach
from plait.errors import InvalidInput, NotFound
from plait.index.document_state import DocumentState, DocumentVersion
from plait.jobs.ingest.plan import make_plan
from plait.recipes import IngestRecipe


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    with changed_settings(home=tmp_path):
        yield tmp_path


def attached(file_id: str, **fields: object) -> Attachment:
    one = Attachment(
        file_id=file_id, collection="docs", tenant="acme", created_at=1, attributes={"year": 2026}, status="completed"
    ).model_copy(update=fields)
    attachments.write(one)
    return one


def test_a_file_is_kept_until_it_is_deleted() -> None:
    first = uploaded_files.save("a.md", "assistants", io.BytesIO(b"one"))
    second = uploaded_files.save("a.md", "user_data", io.BytesIO(b"two"))
    assert {file.id for file in uploaded_files.files()} == {first.id, second.id}
    assert (second.path.read_bytes(), uploaded_files.file(second.id)) == (b"two", second)
    assert uploaded_files.uploaded_as(second.source) == (second.id, "a.md")
    uploaded_files.delete(first.id)
    assert uploaded_files.files() == [second]
    with pytest.raises(NotFound, match="no file"):
        uploaded_files.delete(first.id)


@pytest.mark.parametrize("name", ["", ".", "..", ".file.json", "x\ny.md", "x" * 250, "/", "a/.b"])
def test_a_name_that_is_none_is_refused_and_leaves_nothing(name: str, home: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be named"):
        uploaded_files.save(name, "assistants", io.BytesIO(b"x"))
    assert not any((home / "uploads").iterdir()) if (home / "uploads").exists() else True


@pytest.mark.parametrize("name", ["../../etc/passwd.md", "C:\\docs\\passwd.md", "/etc/passwd.md"])
def test_of_a_path_only_the_name_is_kept(name: str) -> None:
    file = uploaded_files.save(name, "assistants", io.BytesIO(b"x"))
    assert (file.filename, file.path.parent.name) == ("passwd.md", file.id)


def test_what_is_too_large_or_empty_is_refused_and_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploaded_files, "MAX_BYTES", 4)
    for data, message in ((b"12345", "larger than"), (b"", "is empty")):
        with pytest.raises(InvalidInput, match=message):
            uploaded_files.save("a.md", "assistants", io.BytesIO(data))
    assert list((home / "uploads").iterdir()) == []


@pytest.mark.parametrize("file_id", ["", "file-1", "../x", "file-" + "g" * 32, "file-" + "0" * 32])
def test_an_id_that_is_none_finds_nothing(file_id: str) -> None:
    with pytest.raises(NotFound):
        uploaded_files.file(file_id)
    with pytest.raises(NotFound):
        attachments.find(file_id, "docs", "acme")


def test_an_attachment_is_of_one_collection_and_tenant() -> None:
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"x"))
    one = attached(file.id)
    assert attachments.of_collection("docs", "acme") == [one]
    assert attachments.of_collection("docs", "other") == attachments.of_collection("other", "acme") == []
    assert attachments.of_file(file.id) == attachments.of_collection("docs") == [one]
    assert attachments.of_collection("other") == []
    attachments.drop(one)
    assert not attachments.of_file(file.id)


def test_a_name_finds_the_sources_of_its_uploads_alone() -> None:
    of_an_id = "file-" + "_" * 32
    assert uploaded_files.uploaded_like("a.md") == f"{of_an_id}/a.md"
    assert uploaded_files.uploaded_like("100%_\\.md") == f"{of_an_id}/100\\%\\_\\\\.md"


def test_ingestion_keeps_what_was_uploaded_with_its_attributes(home: Path) -> None:
    docs = home / "docs"
    docs.mkdir()
    (docs / "b.md").write_text("of the folder")
    done, waiting = (uploaded_files.save("a.md", "assistants", io.BytesIO(b"# Of the API")) for _ in range(2))
    attached(done.id)
    attached(waiting.id, status="in_progress")
    recipe = IngestRecipe(collection="docs", tenant="acme", sources=[str(docs)])
    found = with_uploaded(find_documents(recipe.sources), "docs", "acme")
    assert [document.source for document in found.documents] == ["b.md", done.source]
    with RowReader(recipe.table) as rows:
        loaded = load(DocumentFile(done.source, str(done.path)), recipe, "s", rows, DocumentReader(recipe.limits))
    assert isinstance(loaded, tuple)
    assert (loaded[1].title, loaded[1].metadata) == ("Of the API", {"year": 2026})


def test_what_was_uploaded_is_not_gone_where_its_file_is_not_seen(home: Path) -> None:
    docs = home / "docs"
    docs.mkdir()
    (docs / "b.md").write_text("of the folder")
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"x"))
    attached(file.id)
    shutil.rmtree(home / "uploads")
    recipe = IngestRecipe(collection="docs", tenant="acme", sources=[str(docs)])
    states = {name: DocumentState({DocumentVersion("h", 1): 1}) for name in (file.source, "old.md")}
    plan = make_plan(recipe, with_uploaded(find_documents(recipe.sources), "docs", "acme"), states, "s")
    assert plan.gone == ("old.md",)


NO_STATE = {
    "NaN": b'{"file_id":"%s","collection":"docs","tenant":"acme","created_at":1,"attributes":{"x":NaN}}',
    "a null": b'{"file_id":"%s","collection":"docs","tenant":"acme","created_at":1,"attributes":{"x":null}}',
    "half of it": b'{"file_id":"%s","collection":"docs","tenant":"acme","crea',
    "empty": b"",
    "binary": b"\x80\x00\xff\xfe",
    "not an object": b"[1]",
    "another schema": b'{"id": 1}',
    "nested without end": b"[" * 100_000,
}
STATES = pytest.mark.parametrize("state", NO_STATE.values(), ids=NO_STATE.keys())


def spoil(path: Path, state: bytes) -> None:
    path.write_bytes(state.replace(b"%s", path.parent.name.encode()))


@STATES
def test_a_state_that_cannot_be_read_costs_only_its_own_entry(
    state: bytes, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = (uploaded_files.save("a.md", "assistants", io.BytesIO(b"x")) for _ in range(2))
    whole = attached(good.id)
    attached(bad.id)
    (path,) = bad.path.parent.glob(".in-*")
    spoil(path, state)
    with caplog.at_level(logging.ERROR):
        listed = {a.file_id: a for a in attachments.of_collection("docs", "acme")}
        assert attachments.find(bad.id, "docs", "acme") == listed[bad.id]
    assert listed[good.id] == whole
    assert (listed[bad.id].status, listed[bad.id].collection, listed[bad.id].tenant) == ("failed", "docs", "acme")
    assert "cannot be read" in str(listed[bad.id].error)
    assert len(caplog.records) == 1
    assert [a.file_id for a in attachments.of_collection("docs") if a.status == "completed"] == [good.id]
    assert attachments.of_file(bad.id, [("docs", "acme")]) == [listed[bad.id]]
    attachments.drop(listed[bad.id])
    assert attachments.of_file(bad.id) == []


def test_a_state_that_is_a_folder_costs_only_its_own_entry() -> None:
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"x"))
    attached(file.id)
    (path,) = file.path.parent.glob(".in-*")
    path.unlink()
    path.mkdir()
    (found,) = attachments.of_collection("docs", "acme")
    assert (found.status, "directory" in str(found.error)) == ("failed", True)


@STATES
def test_a_file_whose_description_cannot_be_read_is_named_and_can_be_deleted(state: bytes) -> None:
    good, bad = (uploaded_files.save("a.md", "assistants", io.BytesIO(b"text")) for _ in range(2))
    spoil(bad.path.parent / ".file.json", state)
    by_id = {file.id: file for file in uploaded_files.files()}
    assert by_id[good.id] == good
    assert (by_id[bad.id].filename, by_id[bad.id].bytes) == ("a.md", 4)
    assert "cannot be read" in str(by_id[bad.id].error)
    assert [file.id for file in uploaded_files.files(Reach(tenant="acme"))] == []  # nobody knows whose it is
    uploaded_files.delete(bad.id)
    assert uploaded_files.files() == [good]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_state_is_made_of_a_number_that_is_not_finite(number: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Attachment(file_id="f", collection="docs", tenant="acme", created_at=1, attributes={"x": number})


def test_ingestion_goes_on_past_a_state_that_cannot_be_read(home: Path) -> None:
    (home / "docs").mkdir()
    (home / "docs" / "b.md").write_text("of the folder")
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"x"))
    attached(file.id)
    (path,) = file.path.parent.glob(".in-*")
    spoil(path, NO_STATE["NaN"])
    found = with_uploaded(find_documents([str(home / "docs")]), "docs", "acme")
    assert [document.source for document in found.documents] == ["b.md"]


def test_what_was_uploaded_is_closed_to_other_users(home: Path) -> None:
    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"x"))
    attached(file.id)
    assert {path.stat().st_mode & 0o077 for path in (home / "uploads").rglob("*")} == {0}
    (home / "uploads").chmod(0o755)
    uploaded_files.tidy()
    assert (home / "uploads").stat().st_mode & 0o777 == 0o700
