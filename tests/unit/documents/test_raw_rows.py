"""Rows of JSON Lines, JSON, CSV, Parquet and text, compressed or not, with their lines and with what is wrong."""

import bz2
import gzip
import io
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plait.documents import json_values
from plait.documents.raw_rows import caution_of, read_rows
from plait.documents.row_files import BadRow
from plait.errors import DataError


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    return [(row.line, row.values()) for row in read_rows(str(path))]


ASKED = [{"question": "a, b?", "answer": "c"}, {"question": "ü?", "answer": "two\nlines"}]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.json", json.dumps(ASKED), [1, 1]),
        ("a.JSON", "\ufeff[\n" + ",\n".join(json.dumps(row, indent=1) for row in ASKED) + "\n]\n", [2, 6]),
        ("a.json", "\n".join(map(json.dumps, ASKED)), [1, 2]),
        ("a.JSONL", "\ufeff" + "\n".join(map(json.dumps, ASKED)), [1, 2]),
        ("a.ndjson", "\n".join(map(json.dumps, ASKED)), [1, 2]),
        ("a.csv", 'question,answer\n"a, b?",c\nü?,"two\nlines"\n', [2, 3]),
        ("a.CSV", 'question;answer\r\na, b?;c\r\nü?;"two\nlines"\r\n'.encode("cp1252"), [2, 3]),
        ("a.csv", 'sep=;\nquestion;answer\na, b?;c\nü?;"two\nlines"\n'.encode("utf-16"), [3, 4]),
        ("a.tsv", 'question\tanswer\na, b?\tc\nü?\t"two\nlines"\n', [2, 3]),
    ],
)
@pytest.mark.parametrize(
    ("ending", "compress"),
    [("", bytes), (".gz", gzip.compress), (".BZ2", bz2.compress), (".xz", lzma.compress)],
    ids=["plain", "gz", "bz2", "xz"],
)
def test_every_format_gives_the_same_rows(
    tmp_path: Path, name: str, content: str | bytes, lines: list[int], ending: str, compress: Callable[[bytes], bytes]
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    assert rows(written(tmp_path / (name + ending), compress(data))) == list(zip(lines, ASKED, strict=True))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz"])
def test_a_guessed_encoding_of_a_csv_is_said(tmp_path: Path, name: str) -> None:
    separator = "\t" if "tsv" in name else ","

    def saved(encoding: str) -> str:
        data = f"question{separator}answer\nWie heißt die Straße?{separator}Bärenweg natürlich\n".encode(encoding)
        return str(written(tmp_path / name, gzip.compress(data) if name.endswith(".gz") else data))

    assert caution_of(saved("cp1252")).startswith("read as cp1252 (guessed): save it as UTF-8")
    assert caution_of(saved("utf-8")) == ""
    assert caution_of(str(written(tmp_path / "a.jsonl", "{}"))) == ""


def test_a_cell_that_holds_messages_is_read_as_such_and_an_empty_one_is_no_value(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    quoted = json.dumps(turns).replace('"', '""')
    file = written(tmp_path / "a.csv", f'messages,system,answer\n"{quoted}",,"[{{""a"": 1}}]"\n')
    assert rows(file) == [(2, {"messages": turns, "system": None, "answer": '[{"a": 1}]'})]


def test_a_csv_row_with_too_few_values_is_a_bad_row_that_is_kept(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", "question,answer\na,b\nc\nd,e\n")
    first, short, last = read_rows(str(file))
    with pytest.raises(BadRow, match="has 1 values, and the header has 2 names"):
        short.values()
    assert (short.line, short.text) == (3, '["c"]')
    assert [first.values()["answer"], last.values()["answer"]] == ["b", "e"]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_an_array_is_read_value_by_value_wherever_what_is_read_is_cut(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_values, "_CHUNK", size)
    values = [{"text": 'a\\"\u00fc' * n, "n": [1.5e10, None, True]} for n in range(20)]
    text = json.dumps(values, indent=1)
    found = list(json_values.json_values(io.StringIO(text)))
    assert [json.loads(value) for _, value in found] == values
    assert [line for line, _ in found] == [n for n, line in enumerate(text.split("\n"), 1) if line == " {"]
    assert [json.loads(v) for _, v in json_values.json_values(io.StringIO("12 345\n6"))] == [12, 345, 6]


def test_a_broken_array_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(io.StringIO):
        taken = 0

        def read(self, count: int | None = -1) -> str:  # type: ignore[override]
            part = super().read(count)
            Counted.taken += len(part)
            return part

    with pytest.raises(json_values.BadFile, match="at line 1"):
        list(json_values.json_values(Counted('[{"a": 1, b}' + "\n" * 5_000_000)))
    assert Counted.taken < 200_000


def test_parquets_objects_lose_the_fields_that_only_other_rows_have(tmp_path: Path) -> None:
    messages = [
        [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 0}],
        [{"role": "user", "content": "R"}, {"role": "assistant", "content": "B"}],
    ]
    pq.write_table(pa.Table.from_pylist([{"messages": m} for m in messages]), tmp_path / "a.parquet")
    assert [values["messages"] for _, values in rows(tmp_path / "a.parquet")] == messages


def test_bytes_that_are_text_are_text_and_others_are_not_taken_for_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [b"caf\xc3\xa9", b"\xff"]}), tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet") == [(1, {"text": "caf\u00e9"}), (2, {"text": {"bytes": 1}})]


def test_lines_end_at_newlines_only_and_blank_ones_count_but_are_no_rows(tmp_path: Path) -> None:
    text = '{"text": "a\u2028b\x0cc\x85"}'
    file = written(tmp_path / "a.jsonl", json.dumps({"text": "one"}) + "\n\n  \r\n" + text.replace("\x0c", " ") + "\n")
    assert [row.line for row in read_rows(str(file))] == [1, 4]
    assert [row.values()["text"] for row in read_rows(str(file))] == ["one", "a\u2028b c\x85"]


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
    found = list(read_rows(str(file)))
    assert [row.line for row in found] == [1, 2, 3]
    with pytest.raises(BadRow) as caught:
        found[1].values()
    assert complaint in str(caught.value)
    assert [found[i].values() for i in (0, 2)] == [{"text": "a"}, {"text": "b"}]


def test_parquet_rows_are_numbered_across_row_groups_and_lose_their_nulls(tmp_path: Path) -> None:
    table = pa.table({"text": [f"t{i}" for i in range(7)], "note": [None, "x"] + [None] * 5})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    found = list(read_rows(str(tmp_path / "a.parquet")))
    assert [(row.line, row.values()["text"]) for row in found] == [(i + 1, f"t{i}") for i in range(7)]
    assert [row.line for row in found if "note" in row.values()] == [2]


def test_a_text_file_is_one_row(tmp_path: Path) -> None:
    (row,) = read_rows(str(written(tmp_path / "a.md", "# A\n\nb\n")))
    assert (row.line, row.values()) == (1, {"text": "# A\n\nb\n"})


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.parquet", b"no parquet", "is not a Parquet file"),
        ("a.txt", b"caf\xe9", "is not UTF-8 text .byte 3"),
        ("a.json", b'[{"text": "caf\xe9"}]', r"a\.json' is not UTF-8 text\."),
        ("a.json", b'[{"text": "a"},\n {"text": ]', r"is not valid JSON .Expecting value at line 2"),
        ("a.json", b'[{"text": "a"}\n\n', "its array has no end; it was read to line 3"),
        ("a.json", b'[{"text": "a"} {}]', "needs a comma or its end at line 1"),
        ("a.json", b"[] x", "something stands behind its array"),
        ("a.jsonl.gz", b"no gzip", r"a\.jsonl\.gz' cannot be read"),
        ("a.csv", b"text,text\na,b\n", r"has 2 columns named 'text'\. Rename all but one"),
        ("a.csv", b'question,answer\na,"b\n', "cannot be read as CSV in or after line"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        list(read_rows(str(written(tmp_path / name, content))))


def test_a_parquet_file_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [os.urandom(64).hex() for _ in range(2000)]}), file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[200:4000] = bytes(3800)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet' "):
        list(read_rows(str(file)))


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_rows(str(tmp_path / "gone.jsonl")))
