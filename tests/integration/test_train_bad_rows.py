"""Rows that cannot be learned: told by their places, counted, and kept whole with the reasons."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from made_rows import encoding_of, jsonl, left_out, prepared, row

from plait.cli import main
from plait.errors import DataError
from plait.jobs.train.objectives.dpo import DpoConfig
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.packed_rows import Encoding

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def encoding(tiny_model: Path) -> Any:
    """Encoding(objective, **data): how a run of the tiny model encodes its rows."""
    return partial(encoding_of, tiny_model)


def test_bad_lines_stop_the_job_with_their_places_and_reasons(encoding: Any, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(0), "{", "", {"question": "x"}, row(1)])
    with pytest.raises(DataError) as caught:
        prepared(file, encoding(), tmp_path / "out")
    assert f"{file}:2 is not valid JSON" in str(caught.value)
    assert f"{file}:4 is no example: it needs 'messages'" in str(caught.value)
    assert "data.max_bad_share" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_the_command_names_a_bad_line(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(0), "{"])
    with pytest.raises(SystemExit) as ended:
        main(["train", "lora", f"data.train={file}", f"model={tiny_model}"])
    assert ended.value.code == 2
    assert f"{file}:2 is not valid JSON" in capsys.readouterr().err


def test_every_bad_row_is_kept_whole_with_its_reason(
    encoding: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{"question": "x", "note": n} for n in range(30)]
    file = jsonl(tmp_path / "a.jsonl", [*bad, *map(row, range(30)), '{"cut', '{"answer": "\\ud83d"}'])
    with pytest.raises(DataError, match=r"32 of 62 rows of '.*' cannot be used: .*:1 is no.*; all of them, with their"):
        prepared(file, encoding(), tmp_path / "out")
    kept = [json.loads(line) for line in left_out(tmp_path / "out").read_text().splitlines()]
    assert [each["line"] for each in kept] == [*range(1, 31), 61, 62]
    assert [each["row"] for each in kept[:30]] == bad
    assert kept[30]["row"] == '{"cut\n'
    assert kept[30]["reason"].startswith("is not valid JSON")
    assert {each["file"] for each in kept} == {str(file)}

    prepared(file, encoding(max_bad_share=0.6), tmp_path / "out")
    assert f"all of them, with their reasons: {left_out(tmp_path / 'out')}" in capsys.readouterr().out
    assert len(left_out(tmp_path / "out").read_text().splitlines()) == 32


def test_what_a_chat_template_refuses_counts_as_a_bad_row(encoding: Any, tmp_path: Path) -> None:
    made: Encoding = encoding(max_bad_share=0.5)
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('No system, please') }}{% endif %}"
    template = strict + made.chat_format.template
    made = replace(made, chat_format=made.chat_format.model_copy(update={"template": template}))
    file = jsonl(tmp_path / "a.jsonl", [row(0), row(1) | {"system": "S"}, row(2)])
    manifest = prepared(file, made, tmp_path / "out")
    assert (manifest.examples, manifest.bad_rows) == (2, 1)
    assert manifest.first_bad[0].startswith(f"{file}:2 cannot be trained: the chat template cannot write")
    assert "No system, please" in manifest.first_bad[0]


def test_columns_that_are_not_used_are_told_once(encoding: Any, tmp_path: Path) -> None:
    rows = [row(i) | {"category": "x", "id": i} for i in range(3)]
    manifest = prepared(jsonl(tmp_path / "a.jsonl", rows), encoding(), tmp_path / "out")
    assert manifest.unused == ["category", "id"]


def test_a_share_of_bad_lines_may_be_left_out_and_is_written_down(
    encoding: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jsonl(tmp_path / "a.jsonl", [*map(row, range(8)), "{", {"question": "x" * 300, "answer": "y"}])
    manifest = prepared(file, encoding(max_bad_share=0.2), tmp_path / "out")
    assert (manifest.examples, manifest.bad_rows) == (8, 2)
    assert [bad.partition(" ")[0] for bad in manifest.first_bad] == [f"{file}:9", f"{file}:10"]
    told = capsys.readouterr().out
    assert f"2 of 10 rows are left out: {file}:9 is not valid JSON" in told
    assert str(left_out(tmp_path / "out")) in told
    with pytest.raises(
        DataError, match=r"2 of 10 rows of '.*a\.jsonl' cannot be used: .*:9 is not.*; .*:10 is too long"
    ):
        prepared(file, encoding(max_bad_share=0.19), tmp_path / "other")


@pytest.mark.parametrize(
    ("objective", "good"),
    [
        (DpoConfig(kind="dpo"), {"prompt": "Which?", "chosen": "yes", "rejected": "no"}),
        (PretrainConfig(kind="pretrain"), {"text": "word " * 200}),
    ],
    ids=["dpo", "pretrain"],
)
def test_the_share_is_of_rows_and_not_of_what_they_become(
    encoding: Any, tmp_path: Path, objective: Any, good: dict[str, str]
) -> None:
    file = jsonl(tmp_path / "a.jsonl", [good, good, {}, {}])
    with pytest.raises(DataError, match="2 of 4 rows"):
        prepared(file, encoding(objective, max_bad_share=0.4), tmp_path / "out")


def test_an_example_that_is_too_long_says_what_to_change(encoding: Any, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(0), {"question": "word " * 100, "answer": "y"}])
    with pytest.raises(
        DataError, match=r"a\.jsonl:2 is too long: it takes \d+ tokens, more than data\.max_tokens \(96\)"
    ):
        prepared(file, encoding(), tmp_path / "out")


@pytest.mark.parametrize("text", ["", "\n\n"], ids=["empty", "blank"])
def test_data_without_an_example_is_refused(encoding: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"a\.jsonl' holds no examples"):
        prepared(tmp_path / "a.jsonl", encoding(), tmp_path / "out")


def test_a_file_that_cannot_be_read_is_named(encoding: Any, tmp_path: Path) -> None:
    jsonl(tmp_path / "data/a.jsonl", [row(0)])
    (tmp_path / "data/b.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"b\.parquet' is not a Parquet file"):
        prepared(tmp_path / "data", encoding(), tmp_path / "out")
