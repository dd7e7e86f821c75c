"""CSV files are read as people save them, and each record is found again by its place."""

import io
from typing import Any

import pytest

from plait.documents import csv_files
from plait.documents.csv_files import CsvError, CsvFile, CsvRecord

ROWS = [["Straße", "Preis", "Anmerkung"], ["Ringstraße 5", "1,50", 'zwei\nZeilen, "quer"'], ["Öl", "2", "Šā 中"]]


def written(rows: list[list[str]], delimiter: str = ",", line_end: str = "\r\n") -> str:
    quoted = [
        ['"' + value.replace('"', '""') + '"' if set(value) & set(';,|\t\n"') else value for value in row]
        for row in rows
    ]
    return "".join(delimiter.join(row) + line_end for row in quoted)


def read(data: bytes, **options: Any) -> list[list[str]]:
    file = CsvFile(io.BytesIO(data), **options)
    records = list(file.records())
    assert [file.record(record.start, record.length).values for record in records] == [r.values for r in records]
    return [list(file.header), *(record.values for record in records)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", csv_files.DELIMITERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_is_read_in_any_encoding_and_by_any_delimiter(encoding: str, delimiter: str, line_end: str) -> None:
    mark = "\ufeff" if encoding[-3:] in ("-le", "-be") else ""
    assert read((mark + written(ROWS, delimiter, line_end)).encode(encoding)) == ROWS


def test_latin_1_is_read() -> None:
    rows = [["Straße", "Größe"], *([f"Köln, Ring {n}", "für Fußgänger"] for n in range(9))]
    assert read(written(rows, ";").encode("cp1252")) == rows


@pytest.mark.parametrize(("encoding", "codec"), [("cp1252", "cp1252"), ("cp1250", "cp1250"), ("utf-8", "utf-8")])
def test_the_first_letter_beyond_ascii_tells_the_encoding_however_late_it_comes(encoding: str, codec: str) -> None:
    word = "příliš žluťoučký kůň" if encoding == "cp1250" else "Größe, für Fußgänger, café"
    data = b"id;text\n" + (b"1;" + b"a" * 50 + b"\n") * 5_000 + f"2;{word}\n3;b\n4;{word}\n".encode(encoding)
    file = CsvFile(io.BytesIO(data))
    records = list(file.records())
    assert [record.values for record in records[-3:]] == [["2", word], ["3", "b"], ["4", word]]
    assert records[-1].start + records[-1].length == len(data)
    assert file.format.encoding == codec
    assert bool(file.format.caution) == (codec != "utf-8")
    last = CsvFile(io.BytesIO(data))
    assert last.record(records[-1].start, records[-1].length) == CsvRecord(
        records[-1].start, records[-1].length, ["4", word]
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_needs_no_mark(encoding: str, line_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["id", "text"], *([str(n), "Grüße \N{ROCKET}"] for n in range(9))]
    for length in range(40, 50, 2):
        monkeypatch.setattr(csv_files, "_HEAD_BYTES", length)
        assert read(written(rows, ";", line_end).encode(encoding)) == rows


def test_a_header_with_nul_characters_is_refused() -> None:
    with pytest.raises(CsvError, match="its header holds NUL characters: save it as UTF-8"):
        read("id;text\n1;a\n".encode("utf-32-le"))


@pytest.mark.parametrize("before", ["\r\n\r\n", "\n", "  \n", ";\n;\n", "sep=;\n\n"])
def test_the_header_is_the_first_record_that_says_anything(before: str) -> None:
    file = CsvFile(io.BytesIO(f"{before}id;text\r\n\r\n1;a\r\n".encode()))
    (record,) = file.records()
    assert (file.header, record.values) == (("id", "text"), ["1", "a"])
    assert record.line == before.count("\n") + 3


@pytest.mark.parametrize("data", [b"a,b\r1,2\r", b"a,b\n1,2\r3,4\n"])
def test_lines_that_end_in_cr_alone_are_an_error(data: bytes) -> None:
    with pytest.raises(CsvError, match="its lines end in CR alone: save it with LF"):
        read(data)


@pytest.mark.parametrize("data", [b'a,b\n"1"x,2\n', b'a,b\n"1,2\n'])
def test_quotation_marks_that_do_not_match_are_an_error(data: bytes) -> None:
    with pytest.raises(CsvError, match="a quotation does not end, or ends within a value"):
        read(data)


def test_letters_whose_bytes_look_like_a_line_end_are_no_line_end() -> None:
    rows = [["a", "b"], ["ਊ਀", "\u0a0d x"]]
    assert read(written(rows).encode("utf-16-le").join([b"\xff\xfe", b""])) == rows
    assert read(written(rows).encode("utf-16-be").join([b"\xfe\xff", b""])) == rows


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", "SEP=;\n"])
def test_excels_first_line_names_the_delimiter(first: str, mark: str) -> None:
    file = CsvFile(io.BytesIO((mark + first + "a,b;c\n1,2;3\n").encode()))
    assert (file.header, [record.values for record in file.records()]) == (("a,b", "c"), [["1,2", "3"]])
    assert [record.line for record in file.records()] == [3]


def test_what_the_caller_says_goes_before_what_the_file_looks_like() -> None:
    assert read(b"a,b;c\n1,2;3\n", delimiter=",")[0] == ["a", "b;c"]
    assert read(b"sep=;\na,b;c\n1,2;3\n", delimiter=",")[0] == ["a", "b;c"]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("text\na, b; c\n", ["text"]),
        ("id;text\n1;a, b\n2;c\n3;d, e, f\n", ["id", "text"]),
        ("id,text\n1,a; b\n2,c\n", ["id", "text"]),
        ("id|text, long\n1|a, b\n2|c\n", ["id", "text, long"]),
        ("name;price\nA;1,5\nB;2,5\n", ["name", "price"]),
        ("id, text\n1,a\n", ["id", "text"]),
        ("", []),
    ],
)
def test_the_delimiter_makes_records_as_long_as_the_header(text: str, header: list[str]) -> None:
    assert read(text.encode())[0] == header


def test_a_delimiter_that_cannot_be_told_is_asked_for_unless_the_columns_tell_it() -> None:
    data = b"a, b;c, d\n1, 2;3, 4\n"
    with pytest.raises(CsvError, match=r"^its delimiter cannot be told: ',' or ';'$"):
        read(data)
    assert read(data, columns=["c, d"])[0] == ["a, b", "c, d"]


def test_the_encoding_is_told_by_the_head_and_a_head_cut_in_a_letter_is_no_other_encoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = written([["text", "n"], ["ä" * 40, "1"]]).encode()
    for length in range(10, 40):
        monkeypatch.setattr(csv_files, "_HEAD_BYTES", length)
        assert CsvFile(io.BytesIO(data)).format.encoding == "utf-8"


def test_bytes_that_are_not_of_the_files_encoding_are_an_error() -> None:
    with pytest.raises(CsvError, match="it is not UTF-8 text there"):
        read("ä,b\n".encode() + b"1,2\n" * 100_000 + b"\xff\xfe,3\n")


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "MAX_RECORD_BYTES", 1_000)
    with pytest.raises(CsvError, match="a line has more than 1,000 bytes"):
        read(b"a,b\n" + b"x" * 2_000)
