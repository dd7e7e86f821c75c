"""One rule says which files a folder and a pattern hold: regular ones, each once, none outside of the folder."""

import os
import socket
import threading
from pathlib import Path

import pytest

from plait.documents.failure import Unreadable
from plait.documents.listing import LeftOut, Listing, described, files_below, files_matching
from plait.documents.read import find_documents
from plait.documents.stores import open_file
from plait.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "v2").mkdir(parents=True)
    (tmp_path / "docs" / ".data").mkdir()
    (tmp_path / "outside").mkdir()
    for name in ("docs/a.md", "docs/v2/b.md", "docs/.data/c.md", "outside/secret.md"):
        (tmp_path / name).write_text("text", encoding="utf-8")
    return tmp_path / "docs"


def names(listing: Listing) -> list[str]:
    return [file.relative_to(listing.root).as_posix() for file in listing.files]


def both(root: Path) -> Listing:
    """What a folder holds, which is what the pattern for all below it matches."""
    listing = files_below(root)
    assert files_matching(root / "**" / "*") == listing
    return listing


def test_links_within_the_folder_are_followed(root: Path) -> None:
    (root / "chapter.md").symlink_to(".data/c.md")
    assert names(both(root)) == ["a.md", "chapter.md", "v2/b.md"]


def test_a_folder_of_links_as_kubernetes_mounts_it_is_read(root: Path) -> None:
    (root / "..2026").mkdir()
    (root / "..2026" / "guide").mkdir()
    (root / "..2026" / "guide" / "d.md").write_text("text")
    (root / "..data").symlink_to("..2026")
    (root / "guide").symlink_to("..data/guide")
    listing = both(root)
    assert names(listing) == ["a.md", "guide/d.md", "v2/b.md"]
    assert listing.left_out == ()


def test_a_file_has_its_own_name_however_many_links_lead_to_it(root: Path) -> None:
    (root / "Latest").symlink_to("v2")
    (root / "A.md").symlink_to("a.md")
    assert names(both(root)) == ["a.md", "v2/b.md"]
    assert names(files_matching(root / "L*" / "*.md")) == ["Latest/b.md"]


@pytest.mark.parametrize("target", ["outside", "outside/secret.md", "."])
def test_a_link_that_leads_out_of_the_folder_is_left_out_and_named(root: Path, target: str) -> None:
    (root / "link.md").symlink_to(root.parent / target)
    listing = both(root)
    assert names(listing) == ["a.md", "v2/b.md"]
    reason = f"a link to {(root.parent / target).resolve()}, outside of the source"
    assert listing.left_out == (LeftOut("link.md", reason),)


def test_loops_of_links_end(root: Path) -> None:
    (root / "v2" / "up").symlink_to("..")
    (root / "v2" / "here").symlink_to(".")
    (root / "self").symlink_to("self")
    listing = both(root)
    assert names(listing) == ["a.md", "v2/b.md"]
    assert [each.name for each in listing.left_out] == ["self"]


def test_pipes_sockets_and_links_to_nothing_are_left_out_and_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe.md")
    (root / "gone.md").symlink_to("nothing.md")
    monkeypatch.chdir(root)  # a socket's path has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.md")
        listing = both(root)
    assert names(listing) == ["a.md", "v2/b.md"]
    assert described(listing.left_out) == (
        "3: gone.md (a link to what cannot be read (No such file or directory)), pipe.md (a named pipe), "
        "socket.md (a socket)"
    )


def test_of_much_that_is_left_out_the_first_are_named(root: Path) -> None:
    left_out = [LeftOut(f"{n}.md", "a device") for n in range(4)] + [LeftOut("\udcff", "a device")]
    assert described(left_out) == "5: 0.md (a device), 1.md (a device), 2.md (a device), …"
    assert described(left_out[4:]) == "1: \\udcff (a device)"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.md", ["a.md"]),
        ("**/*.md", ["a.md", "v2/b.md"]),
        ("**", ["a.md", "v2/b.md"]),
        ("v[12]/?.md", ["v2/b.md"]),
        (".d*/*.md", [".data/c.md"]),
        ("*/**/b.md", ["v2/b.md"]),
        ("*", ["a.md"]),
        ("nothing/*", []),
    ],
)
def test_a_pattern_matches_as_in_a_shell(root: Path, pattern: str, expected: list[str]) -> None:
    assert [f.relative_to(root).as_posix() for f in files_matching(root / pattern).files] == expected


def test_a_link_of_another_kind_than_the_pattern_wants_is_not_mentioned(root: Path) -> None:
    (root / "tables.csv").symlink_to(root.parent / "outside" / "secret.md")
    (root / "folder.md").symlink_to(root.parent / "outside")
    assert files_matching(root / "*.md").left_out == ()
    assert [each.name for each in files_matching(root / "**" / "*.md").left_out] == ["folder.md"]


def test_a_folder_that_a_pattern_leads_into_and_that_cannot_be_read_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if path.name == "v2":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read every folder
    with pytest.raises(DataError, match=r"v2' cannot be read \(Permission denied\)"):
        files_matching(root / "**" / "*.md")
    assert names(files_matching(root / "*.md")) == ["a.md"]


# ------------------------------------------------------------ as sources


def test_documents_say_what_was_left_out_of_their_sources(root: Path) -> None:
    os.mkfifo(root / "rows.jsonl")
    found = find_documents([str(root)], with_tables=True)
    assert [document.source for document in found.documents] == ["a.md", "v2/b.md"]
    assert found.tables == ()
    assert found.left_out == (LeftOut("rows.jsonl", "a named pipe"),)


def test_a_source_of_nothing_but_pipes_says_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(DataError, match=r"hold no documents: .*, only 1: a\.md \(a named pipe\)"):
        find_documents([str(tmp_path)])


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_opening_what_is_no_regular_file_ends_at_once(tmp_path: Path, make: object) -> None:
    make(tmp_path / "a.jsonl")  # type: ignore[operator]
    ended = threading.Event()

    def attempt() -> None:
        with pytest.raises((Unreadable, IsADirectoryError)):
            open_file(str(tmp_path / "a.jsonl"))
        ended.set()

    threading.Thread(target=attempt, daemon=True).start()
    assert ended.wait(5)


def test_a_pipe_named_as_a_source_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(DataError, match=r"a\.md' is no regular file"):
        find_documents([str(tmp_path / "a.md")])


def test_a_file_uri_is_a_path(root: Path) -> None:
    assert [d.source for d in find_documents([f"file://{root}"]).documents] == ["a.md", "v2/b.md"]
