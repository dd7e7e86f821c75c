"""Data files are found and told apart, and whatever is wrong with a source is said in a sentence."""

import gzip
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest

from plait.documents.raw_rows import RawRow
from plait.documents.row_source import find_rows
from plait.errors import DataError


def written(path: Path, text: str | bytes = '{"text": "a"}\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(source: object) -> list[str]:
    return [Path(part).name for part in find_rows(str(source)).parts]


def test_a_folder_gives_its_tables_and_those_of_its_subfolders_sorted(tmp_path: Path) -> None:
    for name in (
        "b.JSONL",
        "a/z.parquet",
        "a/y.jsonl.gz",
        "notes.csv",
        ".hidden.jsonl",
        "README.md",
        "dataset_info.json",
    ):
        written(tmp_path / name)
    assert names(tmp_path) == ["y.jsonl.gz", "z.parquet", "b.JSONL"]
    assert list(find_rows(str(tmp_path)).notes()) == ["not read: notes.csv (1); a pattern can name them"]


def test_a_folder_of_json_and_csv_gives_these(tmp_path: Path) -> None:
    for name in ("a.json", "b.CSV", "c.tsv", "state.json", "notes.md", "old.xls"):
        written(tmp_path / name)
    assert names(tmp_path) == ["a.json", "b.CSV", "c.tsv"]
    assert find_rows(str(tmp_path)).left_out == ("old.xls",)


def test_pipes_and_links_to_folders_or_to_nothing_are_left_out_by_name(tmp_path: Path) -> None:
    written(tmp_path / "data/a.jsonl")
    written(tmp_path / "elsewhere/b.jsonl")
    os.mkfifo(tmp_path / "data/pipe.jsonl")
    (tmp_path / "data/gone.jsonl").symlink_to(tmp_path / "nothing")
    (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/linked.jsonl").symlink_to(tmp_path / "elsewhere/b.jsonl")
    found = find_rows(str(tmp_path / "data"))
    assert [Path(part).name for part in found.parts] == ["a.jsonl", "linked.jsonl"]
    assert [name.partition(" (")[0] for name in found.left_out] == ["gone.jsonl", "more", "pipe.jsonl"]
    with pytest.raises(DataError, match=r"pipe\.jsonl' is no regular file"):
        find_rows(str(tmp_path / "data/pipe.jsonl"))


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


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    for name in ("data[1].jsonl", "data1.jsonl", "what?.jsonl"):
        written(tmp_path / name)
    assert names(tmp_path / "data[1].jsonl") == ["data[1].jsonl"]
    assert names(tmp_path / "what?.jsonl") == ["what?.jsonl"]
    assert names(tmp_path / "data[0-9].jsonl") == ["data1.jsonl"]


def test_a_pattern_reads_what_is_hidden_only_where_it_says_so(tmp_path: Path) -> None:
    for name in ("a.jsonl", ".h/b.jsonl", "c/.d.jsonl"):
        written(tmp_path / ".cache" / name)
    assert names(tmp_path / ".cache/**") == ["a.jsonl"]
    assert names(tmp_path / ".cache/.h/*") == ["b.jsonl"]
    assert names(tmp_path / ".cache/.*/*.jsonl") == ["b.jsonl"]


def test_a_uri_keeps_its_scheme() -> None:
    with fsspec.open("memory://bucket/data/train.jsonl", "wb") as file:
        file.write(b'{"text": "a"}\n')
    found = find_rows("memory://bucket/data")
    (part,) = found.parts
    assert part.startswith("memory://")
    assert [row.values() for row in found.rows(part)] == [{"text": "a"}]


def test_a_name_that_is_no_local_folder_is_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(location: str, **options: object) -> object:
        asked.append(location)
        raise ValueError("no network here")

    monkeypatch.setattr("fsspec.core.url_to_fs", refuse)
    with pytest.raises(DataError, match="openbmb/UltraFeedback' cannot be opened"):
        find_rows("openbmb/UltraFeedback")
    assert asked == ["hf://datasets/openbmb/UltraFeedback"]


def test_a_missing_file_in_a_missing_folder_is_not_looked_for_on_the_hub() -> None:
    with pytest.raises(DataError, match=r"There is no file or folder 'gone/train\.jsonl'"):
        find_rows("gone/train.jsonl")


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    written(tmp_path / "train.jsonl")
    with pytest.raises(DataError, match=r"There is no file or folder '.*trian\.jsonl'\. Did you mean 'train\.jsonl'"):
        find_rows(str(tmp_path / "trian.jsonl"))


def test_a_folder_without_data_and_an_unknown_ending_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "rows.xlsx")
    with pytest.raises(DataError, match=r"holds no data files\. It holds rows\.xlsx"):
        find_rows(str(tmp_path))
    with pytest.raises(DataError, match=r"rows\.xlsx' is no data file\. Plait reads \.jsonl, "):
        find_rows(str(tmp_path / "rows.xlsx"))


def test_a_missing_s3fs_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(known, "s3", raising=False)  # what an earlier test has imported
    with pytest.raises(DataError, match=r"pip install 'plait\[s3\]'"):
        find_rows("s3://bucket/train.jsonl")


def test_an_unknown_scheme_names_those_that_work() -> None:
    with pytest.raises(DataError, match="s3://"):
        find_rows("nowhere://bucket/train.jsonl")


def test_the_fingerprint_changes_with_the_content_and_not_with_the_place(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.jsonl"), written(tmp_path / "b.jsonl")
    assert find_rows(str(first)).fingerprint() == find_rows(str(second)).fingerprint()
    before = find_rows(str(first)).fingerprint()
    written(first, '{"text": "b"}\n')
    assert find_rows(str(first)).fingerprint() != before


def test_the_fingerprint_of_a_remote_file_changes_with_the_file() -> None:
    with fsspec.open("memory://prints/a.jsonl", "wb") as file:
        file.write(b"{}")
    before = find_rows("memory://prints").fingerprint()
    assert find_rows("memory://prints").fingerprint() == before
    with fsspec.open("memory://prints/a.jsonl", "wb") as file:
        file.write(b'{"text": "a"}')
    assert find_rows("memory://prints").fingerprint() != before


def test_a_bucket_is_read_like_a_folder_compressed_or_not(object_store: Any) -> None:
    object_store.mkdir("rows")
    for name, content in (
        ("train/a.jsonl.gz", gzip.compress(b'{"text": "a"}\n{"text": "b"}\n')),
        ("train/b.csv", b"text\nc\n"),
        ("train/data[1].jsonl", b'{"text": "d"}\n'),
    ):
        object_store.pipe(f"rows/{name}", content)
    assert [row.values() for row in rows_of("s3://rows/train/a.jsonl.gz")] == [{"text": "a"}, {"text": "b"}]
    assert [row.values() for row in rows_of("s3://rows/train/*.csv")] == [{"text": "c"}]
    assert [row.values() for row in rows_of("s3://rows/train/data[1].jsonl")] == [{"text": "d"}]
    assert find_rows("s3://rows/train").parts == ["s3://rows/train/a.jsonl.gz", "s3://rows/train/data[1].jsonl"]
    assert list(find_rows("s3://rows/train").notes()) == ["not read: b.csv (1); a pattern can name them"]
    before = find_rows("s3://rows/train").fingerprint()
    object_store.pipe("rows/train/a.jsonl.gz", gzip.compress(b'{"text": "z"}\n'))
    assert find_rows("s3://rows/train").fingerprint() != before
    with pytest.raises(DataError, match="There is nothing at 's3://rows/gone"):
        find_rows("s3://rows/gone.jsonl")


def rows_of(source: str) -> list[RawRow]:
    found = find_rows(source)
    return [row for part in found.parts for row in found.rows(part)]
