"""Data files are found and told apart, and whatever is wrong with a source is said in a sentence."""

import importlib
import os
import sys
from pathlib import Path

import fsspec
import pytest

from plait.errors import DataError
from plait.jobs.train.readers import read_rows
from plait.jobs.train.sources import find_files, find_source, fingerprint


def written(path: Path, text: str | bytes = '{"text": "a"}\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(source: object) -> list[str]:
    return [Path(file.uri).name for file in find_files(str(source))]


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
    assert find_source(str(tmp_path)).note == "not read: notes.csv (1); a pattern can name them"


def test_a_folder_of_json_and_csv_gives_these(tmp_path: Path) -> None:
    for name in ("a.json", "b.CSV", "c.tsv", "state.json", "notes.md", "old.xls"):
        written(tmp_path / name)
    assert names(tmp_path) == ["a.json", "b.CSV", "c.tsv"]
    assert find_source(str(tmp_path)).left_out == ("old.xls",)


def test_pipes_and_links_to_folders_or_to_nothing_are_left_out_by_name(tmp_path: Path) -> None:
    written(tmp_path / "data/a.jsonl")
    written(tmp_path / "elsewhere/b.jsonl")
    os.mkfifo(tmp_path / "data/pipe.jsonl")
    (tmp_path / "data/gone.jsonl").symlink_to(tmp_path / "nothing")
    (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/linked.jsonl").symlink_to(tmp_path / "elsewhere/b.jsonl")
    found = find_source(str(tmp_path / "data"))
    assert [Path(file.uri).name for file in found.files] == ["a.jsonl", "linked.jsonl"]
    assert [name.partition(" (")[0] for name in found.left_out] == ["more", "gone.jsonl", "pipe.jsonl"]
    with pytest.raises(DataError, match=r"pipe\.jsonl' is a named pipe"):
        find_files(str(tmp_path / "data/pipe.jsonl"))


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
    (found,) = find_files("memory://bucket/data")
    assert found.uri.startswith("memory://")
    assert [row.values() for row in read_rows(found)] == [{"text": "a"}]


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
    written(tmp_path / "rows.xlsx")
    with pytest.raises(DataError, match=r"holds no data files\. It holds rows\.xlsx"):
        find_files(str(tmp_path))
    with pytest.raises(DataError, match=r"rows\.xlsx' is no data file\. Plait reads \.jsonl, "):
        find_files(str(tmp_path / "rows.xlsx"))


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
