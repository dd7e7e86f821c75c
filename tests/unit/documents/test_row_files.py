"""Every row of a table is found again by its place, and is what it was among all rows."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plait.documents.csv_files import CsvError
from plait.documents.row_files import BadRow, open_rows, open_table
from plait.errors import DataError

ROWS = [{"id": "a", "text": "ünö"}, {"id": "b", "text": "two\nlines"}, {"id": "c", "text": "end"}]
CSV = 'id,text\na,ünö\nb,"two\nlines"\nc,end\n'


def written(file: Path) -> str:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file, row_group_size=2)
    elif file.suffix == ".ndjson":
        file.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS))
    else:
        file.write_text(CSV if file.suffix == ".CSV" else CSV.replace(",", "\t"), encoding="utf-16")
    return str(file)


@pytest.mark.parametrize(
    ("name", "lines"), [("t.ndjson", [1, 3, 5]), ("t.CSV", [2, 3, 5]), ("t.tsv", [2, 3, 5]), ("t.parquet", [1, 2, 3])]
)
def test_a_row_is_found_again_by_its_place(tmp_path: Path, name: str, lines: list[int]) -> None:
    uri = written(tmp_path / name)
    with open_table(uri, ["text"]) as table:
        rows = list(table.rows())
        again = [table.row(row.start, row.length) for row in reversed(rows)][::-1]
    texts = [{"text": row["text"]} for row in ROWS]
    assert [row.values(["text"]) for row in rows] == [row.values(["text"]) for row in again] == texts
    assert [row.line for row in rows] == lines
    with open_rows(uri) as file:
        assert [row.values(["id", "text"]) for row in file.rows()] == ROWS


@pytest.mark.parametrize("name", ["t.CSV", "t.parquet"])
def test_two_columns_of_one_name_are_refused_where_they_are_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name == "t.CSV":
        file.write_text("id,text,text\n1,a,b\n")
    else:
        pq.write_table(pa.Table.from_arrays([[1], ["a"], ["b"]], ["id", "text", "text"]), file)
    with pytest.raises(DataError, match="has 2 columns named 'text'"), open_rows(str(file)):
        pass
    with open_table(str(file), ["id"]) as table:
        assert [str(row.values(["id"])["id"]) for row in table.rows()] == ["1"]


def test_what_cannot_be_read_says_so_in_the_row_or_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"a": "\xff"}\n[1]\n{"a": 1}\n')
    with open_table(str(tmp_path / "t.jsonl"), ["a"]) as table:
        bad, listed, good = table.rows()
    assert good.values(["a", "b"]) == {"a": 1, "b": None}
    for row, why in ((bad, "is not UTF-8 text"), (listed, "is no JSON object but a list$")):
        with pytest.raises(BadRow, match=why):
            row.values(["a"])
    (tmp_path / "t.csv").write_text("text,more;text\na,b;c\n")
    with pytest.raises(CsvError, match="delimiter cannot be told"), open_rows(str(tmp_path / "t.csv")):
        pass
