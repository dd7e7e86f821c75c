from pathlib import Path

import pytest

from plait.errors import DataError, InvalidInput
from plait.jobs.ingest.read import content_hash, find_documents


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text", encoding="utf-8")


def test_a_document_is_named_by_its_path_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "guide/a.txt")
    found = find_documents([str(tmp_path)])
    assert [document.source for document in found.documents] == ["b.md", "guide/a.txt"]
    assert found.documents[1].path == tmp_path / "guide/a.txt"


def test_a_file_given_by_itself_is_named_by_its_file_name(tmp_path: Path) -> None:
    write(tmp_path, "guide/a.txt", "guide/b.txt")
    found = find_documents([str(tmp_path / "guide/a.txt")])
    assert [document.source for document in found.documents] == ["a.txt"]


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
