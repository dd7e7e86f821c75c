"""Data files are found, told apart and read row by row, and whatever is wrong with one is said in a sentence."""

import importlib
import json
import os
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plait.errors import DataError
from plait.jobs.train.sources import DataFile, find_files, fingerprint, read_rows


def written(path: Path, text: str | bytes = '{"text": "a"}\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(source: object) -> list[str]:
    return [Path(file.uri).name for file in find_files(str(source))]


def test_a_folder_gives_its_tables_and_those_of_its_subfolders_sorted(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/z.parquet", "a/y.jsonl", "notes.csv", ".hidden.jsonl"):
        written(tmp_path / name)
    assert names(tmp_path) == ["y.jsonl", "z.parquet", "b.jsonl"]


def test_the_readme_beside_tables_is_no_training_data(tmp_path: Path) -> None:
    written(tmp_path / "README.md", "# About this dataset")
    written(tmp_path / "train.jsonl")
    assert names(tmp_path) == ["train.jsonl"]
    assert names(tmp_path / "*.md") == ["README.md"]


def test_a_folder_of_texts_gives_its_texts(tmp_path: Path) -> None:
    written(tmp_path / "a.md", "# A")
    written(tmp_path / "b.txt", "b")
    assert names(tmp_path) == ["a.md", "b.txt"]


def test_a_glob_gives_what_it_matches(tmp_path: Path) -> None:
    for name in ("train-1.jsonl", "train-0.jsonl", "eval.jsonl"):
        written(tmp_path / name)
    assert names(tmp_path / "train-*.jsonl") == ["train-0.jsonl", "train-1.jsonl"]


def test_a_uri_keeps_its_scheme() -> None:
    with fsspec.open("memory://bucket/data/train.jsonl", "wb") as file:
        file.write(b'{"text": "a"}\n')
    (found,) = find_files("memory://bucket/data")
    assert found.uri.startswith("memory://")
    assert [row.value for row in read_rows(found)] == [{"text": "a"}]


def test_a_name_that_is_no_local_folder_is_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(location: str) -> object:
        asked.append(location)
        raise ValueError("no network here")

    monkeypatch.setattr("plait.jobs.train.sources.fsspec.core.url_to_fs", refuse)
    with pytest.raises(DataError, match="'openbmb/UltraFeedback' cannot be opened"):
        find_files("openbmb/UltraFeedback")
    assert asked == ["hf://datasets/openbmb/UltraFeedback"]


def test_a_missing_file_in_a_missing_folder_is_not_looked_for_on_the_hub() -> None:
    with pytest.raises(DataError, match=r"There is no data file 'gone/train\.jsonl'"):
        find_files("gone/train.jsonl")


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    written(tmp_path / "train.jsonl")
    with pytest.raises(DataError, match=r"There is no data file '.*trian\.jsonl'\. Did you mean 'train\.jsonl'"):
        find_files(str(tmp_path / "trian.jsonl"))


def test_a_folder_without_data_and_an_unknown_ending_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "rows.csv")
    with pytest.raises(DataError, match="holds no data files"):
        find_files(str(tmp_path))
    with pytest.raises(DataError, match=r"rows\.csv' is no data file\. Plait reads \.jsonl, \.parquet"):
        find_files(str(tmp_path / "rows.csv"))


def test_a_missing_s3fs_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(known, "s3", raising=False)  # what an earlier test has imported
    with pytest.raises(DataError, match=r"pip install 'plait\[s3\]'"):
        find_files("s3://bucket/train.jsonl")


def test_an_unknown_scheme_names_those_that_work() -> None:
    with pytest.raises(DataError, match="s3://"):
        find_files("nowhere://bucket/train.jsonl")


def test_the_fingerprint_changes_with_the_content_and_not_with_the_place(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.jsonl"), written(tmp_path / "b.jsonl")
    assert fingerprint(find_files(str(first))) == fingerprint(find_files(str(second)))
    before = fingerprint(find_files(str(first)))
    written(first, '{"text": "b"}\n')
    assert fingerprint(find_files(str(first))) != before


def test_the_fingerprint_of_a_remote_file_changes_with_the_file() -> None:
    with fsspec.open("memory://prints/a.jsonl", "wb") as file:
        file.write(b"{}")
    before = fingerprint(find_files("memory://prints"))
    assert fingerprint(find_files("memory://prints")) == before
    with fsspec.open("memory://prints/a.jsonl", "wb") as file:
        file.write(b'{"text": "a"}')
    assert fingerprint(find_files("memory://prints")) != before


def test_lines_end_at_newlines_only_and_blank_ones_count_but_are_no_rows(tmp_path: Path) -> None:
    text = '{"text": "a\u2028b\x0cc\x85"}'
    file = written(tmp_path / "a.jsonl", json.dumps({"text": "one"}) + "\n\n  \r\n" + text.replace("\x0c", " ") + "\n")
    assert [(row.line, row.error) for row in read_rows(DataFile(str(file)))] == [(1, ""), (4, "")]
    assert [row.value["text"] for row in read_rows(DataFile(str(file)))] == ["one", "a\u2028b c\x85"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "is not valid JSON (Expecting property name"),
        (b"[1]", "is no JSON object but a list"),
        (b'{"text": "\xff"}', "is not UTF-8 text (byte 10)"),
        (b'{"text": ' + b"9" * 5000 + b"}", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
    ids=["broken", "list", "not-utf-8", "huge-number", "too-deep"],
)
def test_a_bad_line_is_a_row_with_a_reason_and_reading_goes_on(tmp_path: Path, line: bytes, complaint: str) -> None:
    file = written(tmp_path / "a.jsonl", b'{"text": "a"}\n' + line + b'\n{"text": "b"}')
    rows = list(read_rows(DataFile(str(file))))
    assert [row.line for row in rows] == [1, 2, 3]
    assert complaint in rows[1].error
    assert [row.error for row in (rows[0], rows[2])] == ["", ""]


def test_parquet_rows_are_numbered_across_row_groups_and_lose_their_nulls(tmp_path: Path) -> None:
    table = pa.table({"text": [f"t{i}" for i in range(7)], "note": [None, "x"] + [None] * 5})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    rows = list(read_rows(DataFile(str(tmp_path / "a.parquet"))))
    assert [(row.line, row.value["text"]) for row in rows] == [(i + 1, f"t{i}") for i in range(7)]
    assert [row.line for row in rows if "note" in row.value] == [2]


def test_a_text_file_is_one_row(tmp_path: Path) -> None:
    (row,) = read_rows(DataFile(str(written(tmp_path / "a.md", "# A\n\nb\n"))))
    assert (row.line, row.value) == (1, {"text": "# A\n\nb\n"})


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.parquet", b"no parquet", "is not a Parquet file"),
        ("a.txt", b"caf\xe9", "is not UTF-8 text .byte 3"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        list(read_rows(DataFile(str(written(tmp_path / name, content)))))


def test_a_parquet_file_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [os.urandom(64).hex() for _ in range(2000)]}), file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[200:4000] = bytes(3800)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet' "):
        list(read_rows(DataFile(str(file))))


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_rows(DataFile(str(tmp_path / "gone.jsonl"))))
