import os
from pathlib import Path
from typing import Any

import pytest

from plait.documents.failure import Unreadable
from plait.documents.read import content_hash, find_documents
from plait.documents.stores import read_file
from plait.errors import DataError, InvalidInput


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text", encoding="utf-8")


def test_a_document_is_named_by_its_path_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "guide/a.txt")
    found = find_documents([str(tmp_path)])
    assert [document.source for document in found.documents] == ["b.md", "guide/a.txt"]
    assert found.documents[1].uri == str(tmp_path / "guide/a.txt")


def test_a_name_is_in_one_normal_form_however_the_disk_writes_it(tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301.md").write_text("x", encoding="utf-8")
    (document,) = find_documents([str(tmp_path)]).documents
    assert document.source == "café.md"
    assert Path(document.uri).read_text(encoding="utf-8") == "x"
    (tmp_path / "café.md").write_text("y", encoding="utf-8")
    with pytest.raises(InvalidInput, match="Two documents are named"):
        find_documents([str(tmp_path)])


def test_a_file_given_by_itself_is_named_by_its_file_name(tmp_path: Path) -> None:
    write(tmp_path, "guide/a.txt", "guide/b.txt")
    found = find_documents([str(tmp_path / "guide/a.txt")])
    assert [document.source for document in found.documents] == ["a.txt"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("guide/**/*.md", ["a.md", "deep/b.md"]),
        ("guide/*.md", ["a.md"]),
        ("*/deep/?.md", ["guide/deep/b.md"]),
        ("guide/[x].md", ["[x].md"]),
    ],
)
def test_of_a_pattern_a_document_is_named_by_its_path_below_the_part_without_wildcards(
    tmp_path: Path, pattern: str, names: list[str]
) -> None:
    write(tmp_path, "guide/a.md", "guide/a.txt", "guide/deep/b.md", "guide/.hidden/c.md", "guide/[x].md")
    found = find_documents([str(tmp_path / pattern)]).documents
    assert [document.source for document in found if "[x]" not in document.source or "[x]" in pattern] == names


def test_a_pattern_that_nothing_matches_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hold no documents: .*/\*\.md"):
        find_documents([str(tmp_path / "*.md")])


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.md", ".hidden.md", ".git/config.md")
    assert [document.source for document in find_documents([str(tmp_path)]).documents] == ["a.md"]


def test_files_of_unknown_formats_are_counted_by_suffix(tmp_path: Path) -> None:
    write(tmp_path, "a.MD", "b.xyz", "c.XYZ", "Makefile")
    found = find_documents([str(tmp_path)])
    assert [document.source for document in found.documents] == ["a.MD"]
    assert found.skipped == {".xyz": 2, "(no suffix)": 1}


def test_a_source_that_does_not_exist_is_named() -> None:
    with pytest.raises(DataError, match="no file or folder 'nowhere'"):
        find_documents(["nowhere"])


def test_a_folder_without_documents_is_an_error_and_not_an_empty_index(tmp_path: Path) -> None:
    write(tmp_path, "a.xyz")
    with pytest.raises(DataError, match="hold no documents"):
        find_documents([str(tmp_path)])


def test_a_file_of_an_unknown_format_given_by_itself_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a.xyz")
    with pytest.raises(InvalidInput, match=r"a\.xyz' is of no known format"):
        find_documents([str(tmp_path / "a.xyz")])


def test_two_documents_of_the_same_name_are_refused_with_both_paths(tmp_path: Path) -> None:
    write(tmp_path, "one/a.md", "two/a.md")
    with pytest.raises(InvalidInput, match=r"one/a\.md.*two/a\.md"):
        find_documents([str(tmp_path / "one"), str(tmp_path / "two")])


def test_the_content_hash_depends_on_bytes_and_settings() -> None:
    assert content_hash(b"text", "s1") == content_hash(b"text", "s1")
    assert len({content_hash(b"text", "s1"), content_hash(b"text", "s2"), content_hash(b"text.", "s1")}) == 3


# ------------------------------------------------------------ object stores


@pytest.fixture(scope="module")
def bucket(object_store: Any) -> Any:
    """A bucket on it."""
    object_store.mkdir("docs")
    for name in ("top.md", "guide/a.md", "guide/deep/b.txt", "guide/.git/c.md", "guide/d.xyz"):
        object_store.pipe(f"docs/{name}", f"text of {name}".encode())
    return object_store


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("s3://docs/guide", ["a.md", "deep/b.txt"]),
        ("s3://docs/guide/", ["a.md", "deep/b.txt"]),
        ("s3://docs", ["guide/a.md", "guide/deep/b.txt", "top.md"]),
        ("s3://docs/guide/a.md", ["a.md"]),
        ("s3://docs/**/*.md", ["guide/a.md", "top.md"]),
        ("s3://docs/guide/*.md", ["a.md"]),
    ],
)
def test_a_bucket_is_read_like_a_folder(bucket: Any, source: str, names: list[str]) -> None:
    documents = find_documents([source]).documents
    assert [document.source for document in documents] == names
    assert read_file(documents[0].uri, 2**20).decode() == f"text of {documents[0].uri.removeprefix('s3://docs/')}"


def test_the_store_says_whether_an_object_has_changed(bucket: Any) -> None:
    def etags() -> dict[str, str]:
        return {document.source: document.etag for document in find_documents(["s3://docs/guide"]).documents}

    before = etags()
    assert all(before.values())
    bucket.pipe("docs/guide/a.md", b"text of guide/a.md")
    assert etags() == before
    bucket.pipe("docs/guide/deep/b.txt", b"Text of guide/deep/b.txt")
    assert [name for name, etag in etags().items() if etag != before[name]] == ["deep/b.txt"]


def test_what_is_not_in_a_bucket_and_a_bucket_that_is_not_there_are_named(bucket: Any) -> None:
    with pytest.raises(DataError, match="nothing at 's3://docs/gone'"):
        find_documents(["s3://docs/gone"])
    with pytest.raises(DataError, match="'s3://nowhere/x'"):
        find_documents(["s3://nowhere/x"])
    with pytest.raises(Unreadable, match="it cannot be read"):
        read_file("s3://docs/gone.md", 2**20)
    with pytest.raises(DataError, match="'what://x' cannot be opened"):
        find_documents(["what://x"])


def test_an_empty_source_beside_others_is_an_error_and_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.md").write_text("text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"There is no file in '.*empty': .*would be removed"):
        find_documents([str(tmp_path / "full"), str(tmp_path / "empty")])


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read every folder
    with pytest.raises(DataError, match=r"'.*locked' cannot be read \(Permission denied\)"):
        find_documents([str(tmp_path)])
