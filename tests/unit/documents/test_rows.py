"""Rows of tables are documents: named so that they stay the same, and found again without reading the table."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plait.documents.failure import Failure, Unreadable
from plait.documents.read import DocumentFile, content_hash, find_documents
from plait.documents.rows import RowReader, UnnamedRow, parse_table_row, row_documents
from plait.documents.stores import list_files
from plait.errors import DataError, InvalidInput
from plait.index.document_state import DocumentState, DocumentVersion
from plait.jobs.ingest.plan import Plan, make_plan
from plait.recipes import IngestRecipe, TableConfig

ROWS: list[dict[str, Any]] = [
    {"id": "one", "text": "The first, with ümlauts", "title": "First", "lang": "de"},
    {"id": "two", "text": 'Two lines\nand "quotes", too', "title": "", "lang": "en"},
    {"id": "three", "text": "# Not a heading\n\nbut text", "title": "Third", "lang": "en"},
]
KINDS = ["t.jsonl", "t.csv", "t.tsv", "t.parquet"]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a table of the kind that the file's suffix says."""
    import csv

    if file.suffix == ".jsonl":
        file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    elif file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=2)
    else:
        with file.open("w", encoding="utf-8-sig", newline="") as opened:
            writer = csv.DictWriter(opened, list(rows[0]), delimiter="\t" if file.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return file


def config(**fields: Any) -> TableConfig:
    return TableConfig.model_validate({"text": "text", **fields})


def documents(file: Path, config: TableConfig) -> list[DocumentFile | Failure]:
    rows = row_documents(list_files(str(file)).files, config)
    return [row.failure if isinstance(row, UnnamedRow) else row for row in rows]


def plan(file: Path, held: Plan | None = None, **table: Any) -> Plan:
    """The plan of a run over a table, with an index that holds what the plan before, `held`, has done."""
    states = {
        document.source: DocumentState({DocumentVersion(content_hash(document.etag.encode(), "s"), 1): 1})
        for document in (held.changed if held else ())
    }
    recipe = IngestRecipe.model_validate({"sources": [str(file)], "table": {"text": "text", **table}})
    return make_plan(recipe, find_documents(recipe.sources, with_tables=True), states, "s")


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_a_document(tmp_path: Path, kind: str) -> None:
    wanted = config(id="id", title="title", metadata=["lang"])
    found = documents(write(tmp_path / kind, ROWS), wanted)
    assert [row.source for row in found] == ["one", "two", "three"]
    with RowReader(wanted) as reader:
        rows = [row for row in reversed(found) if isinstance(row, DocumentFile)]
        read = [parse_table_row(reader.read(row), row, wanted) for row in rows][::-1]
    assert [document.text for document in read] == [row["text"] for row in ROWS]
    assert [document.title for document in read] == ["First", "two", "Third"]
    assert [document.metadata for document in read] == [{"lang": row["lang"]} for row in ROWS]
    assert {document.syntax for document in read} == {"text"}


@pytest.mark.parametrize("kind", KINDS)
def test_with_an_id_only_rows_that_changed_are_done_again_wherever_they_stand(tmp_path: Path, kind: str) -> None:
    first = plan(write(tmp_path / kind, ROWS), id="id")
    moved = [{**ROWS[0], "id": "new"}, ROWS[2], {**ROWS[1], "text": "other"}]
    second = plan(write(tmp_path / kind, moved), first, id="id")
    assert [row.source for row in second.changed] == ["new", "two"]
    assert ([row.source for row in second.unchanged], second.gone) == (["three"], ("one",))


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_id_a_changed_row_is_a_new_document_and_the_old_one_goes(tmp_path: Path, kind: str) -> None:
    first = plan(write(tmp_path / kind, ROWS))
    second = plan(write(tmp_path / kind, [ROWS[2], {**ROWS[1], "text": "other"}, ROWS[0], ROWS[0]]), first)
    names = [row.source for row in first.changed]
    assert all(name.startswith(f"{kind}#") for name in names)
    assert (len(second.changed), second.repeated_rows) == (1, 1)
    assert ({row.source for row in second.unchanged}, second.gone) == ({names[0], names[2]}, (names[1],))


def test_a_column_that_is_not_used_changes_nothing_and_one_that_is_does(tmp_path: Path) -> None:
    first = plan(write(tmp_path / "t.csv", ROWS), id="id")
    others = [row | {"lang": "fr"} for row in ROWS]
    assert plan(write(tmp_path / "t.csv", others), first, id="id").changed == ()
    assert len(plan(tmp_path / "t.csv", first, id="id", metadata=["lang"]).changed) == 3


def test_html_and_markdown_in_a_column_are_read_as_such(tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", [{"text": "<nav>Menu</nav><h1>Title</h1><p>Body</p>"}])
    row = documents(file, config(format="html"))[0]
    assert isinstance(row, DocumentFile)
    with RowReader(config(format="html")) as reader:
        document = parse_table_row(reader.read(row), row, config(format="html"))
    assert (document.text, document.title, len(document.headings)) == ("# Title\n\nBody", "Title", 1)


def test_bad_rows_are_failures_and_the_others_documents(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    lines = [
        "{",
        "[1]",
        '{"id": "x", "text": null}',
        '{"id": "y", "text": 5}',
        '{"text": "a"}',
        '{"id": 7, "text": "b"}',
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    found = documents(file, config(id="id"))
    reasons = [(row.source, row.reason.split(" (")[0]) for row in found if isinstance(row, Failure)]
    assert reasons == [
        ("t.jsonl, row 1", "it is not valid JSON"),
        ("t.jsonl, row 2", "it is no JSON object but a list"),
        ("x", "its column 'text' is empty"),
        ("y", "its column 'text' is no text"),
        ("t.jsonl, row 5", "its column 'id' is empty"),
    ]
    assert [row.source for row in found if isinstance(row, DocumentFile)] == ["7"]


@pytest.mark.parametrize("before", ["", f"0,{'x' * 2**18}\n"])
def test_a_table_in_a_guessed_encoding_is_named_beside_its_rows(tmp_path: Path, before: str) -> None:
    text = f"id,text\n{before}1,Die Straße nach Köln ist für Fußgänger geöffnet\n"
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    (tmp_path / "b.csv").write_text(text.replace(before, "").replace("1,", "2,"), encoding="utf-8")
    recipe = IngestRecipe.model_validate({"sources": [str(tmp_path)], "table": {"text": "text", "id": "id"}})
    plan = make_plan(recipe, find_documents(recipe.sources, with_tables=True), {}, "settings")
    assert [document.source for document in plan.changed] == ["0"] * bool(before) + ["1", "2"]
    assert [(noted.source, noted.reason.partition(":")[0]) for noted in plan.noted] == [
        ("a.csv", "read as cp1252 (guessed)")
    ]
    assert plan.failed == ()


def test_a_row_that_lost_its_text_keeps_its_older_version(tmp_path: Path) -> None:
    first = plan(write(tmp_path / "t.jsonl", ROWS), id="id")
    second = plan(write(tmp_path / "t.jsonl", [{**ROWS[0], "text": ""}, *ROWS[1:]]), first, id="id")
    assert (second.gone, [failure.source for failure in second.failed]) == ((), ["one"])


def test_while_a_row_cannot_be_named_nothing_is_removed_since_it_may_be_that_row(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    first = plan(write(file, ROWS), id="id")
    whole = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(["{", *whole[1:]]), encoding="utf-8")
    second = plan(file, first, id="id")
    assert (second.gone, second.withheld) == ((), ("one",))
    file.write_text("\n".join(whole[1:]), encoding="utf-8")
    third = plan(file, first, id="id")
    assert (third.gone, third.withheld) == (("one",), ())


def test_a_second_row_of_an_id_is_a_failure_and_the_first_counts(tmp_path: Path) -> None:
    found = plan(write(tmp_path / "t.csv", [*ROWS, {**ROWS[0], "text": "again"}]), id="id")
    assert len(found.changed) == 3
    assert found.failed == (Failure("a second one", "its 'id' is that of another document"),)


def test_a_table_that_breaks_off_ends_the_run(tmp_path: Path) -> None:
    file = write(tmp_path / "t.parquet", ROWS)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"t\.parquet' (is not a Parquet file|cannot be read)"):
        documents(file, config())
    file = write(tmp_path / "t.csv", ROWS)
    file.write_bytes(file.read_bytes() + b"\xff\xfe,x\n")
    with pytest.raises(DataError, match=r"t\.csv' cannot be read in or after row 4 \(it is not UTF-8 text"):
        documents(file, config())
    (tmp_path / "t.jsonl").touch()
    with pytest.raises(DataError, match="holds no rows"):
        documents(tmp_path / "t.jsonl", config())


@pytest.mark.parametrize("kind", ["t.csv", "t.parquet"])
def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"no column 'body' \(it has id, text, title, lang\)"):
        documents(write(tmp_path / kind, ROWS), TableConfig(text="body"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_changed_since_the_plan_is_not_taken_for_the_old_one(tmp_path: Path, kind: str) -> None:
    planned = documents(write(tmp_path / kind, ROWS), config(id="id"))
    write(tmp_path / kind, [{**row, "text": "new " * 9, "id": f"{row['id']}!"} for row in ROWS[:2]])
    with RowReader(config(id="id")) as reader:
        for row in planned:
            assert isinstance(row, DocumentFile)
            with pytest.raises(Unreadable):
                reader.read(row)


def test_without_a_text_column_tables_are_left_out_and_one_given_by_itself_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", ROWS)
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    assert find_documents([str(tmp_path)]).skipped == {".csv": 1}
    with pytest.raises(InvalidInput, match=r"Name the column of its text: table\.text=COLUMN"):
        find_documents([str(tmp_path / "t.csv")])


def test_a_table_that_ends_inside_quotes_is_an_error_and_loses_no_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,text\n1,"a\n2,b\n3,c\n')
    with pytest.raises(DataError, match=r"t\.csv' cannot be read in or after row 1 \("):
        list(row_documents(list_files(str(tmp_path / "t.csv")).files, TableConfig(text="text", id="id")))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("t.jsonl", '{"text": "a"}\n{"text": "' + "x" * 2_000 + '"}\n', "a row has more than 1,000 bytes"),
        ("t.csv", 'text\na\n"' + "x\n" * 1_000, ".*field larger than field limit"),
    ],
)
def test_a_row_without_an_end_ends_the_run_before_it_fills_the_memory(
    name: str, text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setattr("plait.documents.row_files._MAX_ROW_BYTES", 1_000)
    before = csv.field_size_limit(1_000)
    try:
        with pytest.raises(DataError, match=rf"{name}' cannot be read in or after row 2 \({reason}"):
            documents(tmp_path / name, config())
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_csv_saved_by_a_spreadsheet_is_read(tmp_path: Path, encoding: str, delimiter: str) -> None:
    file = tmp_path / "t.csv"
    lines = [("id", "text"), ("one", "für Fußgänger, überall"), ("two", "Straße nach Köln")]
    file.write_bytes("\r\n".join(delimiter.join(line) for line in lines).encode(encoding))
    found = documents(file, config(id="id"))
    with RowReader(config(id="id")) as reader:
        texts = [reader.read(row)["text"] for row in found if isinstance(row, DocumentFile)]
    assert texts == ["für Fußgänger, überall", "Straße nach Köln"]


def test_a_csv_whose_delimiter_cannot_be_told_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,more;text\na,b;c\n")
    with pytest.raises(DataError, match=r"t\.csv': its delimiter cannot be told: ',' or ';'. Set table\.delimiter"):
        documents(tmp_path / "t.csv", config())
    found = documents(tmp_path / "t.csv", config(delimiter="comma"))
    assert isinstance(found[0], DocumentFile)


def test_two_columns_of_the_name_that_is_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,text\na,b\n")
    with pytest.raises(DataError, match=r"has 2 columns named 'text'\. Rename"):
        documents(tmp_path / "t.csv", config())


@pytest.mark.parametrize(
    ("row", "named", "column"),
    [
        ({"id": "b", "text": "x", "lang": "\ud800"}, "b", "lang"),
        ({"id": "b", "text": "x\udfff", "lang": ""}, "b", "text"),
        ({"id": "b\ud800", "text": "x", "lang": ""}, "t.jsonl, row 2", "id"),
        ({"id": "b", "text": "x", "lang": [{"deep\ud83d": 1}]}, "b", "lang"),
    ],
)
def test_a_row_with_half_a_character_is_refused_by_name_and_the_others_are_read(
    tmp_path: Path, row: dict[str, Any], named: str, column: str
) -> None:
    file = write(tmp_path / "t.jsonl", [{**ROWS[0], "lang": "😀"}, row, ROWS[2]])
    found = documents(file, config(id="id", metadata=["lang"]))
    where = "" if column == "id" else " in row 2 of t.jsonl"
    assert found[1] == Failure(named, f"its column '{column}'{where} holds half a character (a lone surrogate)")
    assert [row.source for row in found if isinstance(row, DocumentFile)] == ["one", "three"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (str(2**127), str(2**127)),
        (f"[{-(2**63) - 1}, {2**63}, {2**63 - 1}]", [str(-(2**63) - 1), str(2**63), 2**63 - 1]),
        ('{"a": NaN, "b": [-Infinity, 1.5]}', {"a": None, "b": [None, 1.5]}),
        ("true", True),
    ],
)
def test_metadata_that_no_store_can_hold_is_kept_as_what_it_can(tmp_path: Path, written: str, kept: Any) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"text": "x", "n": {written}}}')
    wanted = config(metadata=["n"])
    file = documents(tmp_path / "t.jsonl", wanted)[0]
    assert isinstance(file, DocumentFile)
    with RowReader(wanted) as reader:
        assert parse_table_row(reader.read(file), file, wanted).metadata == {"n": kept}
