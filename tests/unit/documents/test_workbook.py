"""Workbooks: what a reader of a sheet sees is what is found."""

import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.styles import Font

from plait.documents.failure import Unreadable
from plait.documents.parse import Document, parse

Cells = Mapping[str, Any]


def book(cells: Cells | Sequence[Sequence[Any]], merged: Sequence[str] = (), formats: Mapping[str, str] = {}) -> bytes:
    """A workbook of one sheet; cells by their place, or by row. A place that begins with * is bold."""
    made = Workbook()
    sheet = made.active
    sheet.title = "Sales"
    if isinstance(cells, Mapping):
        for place, value in cells.items():
            sheet[place.strip("*")] = value
            if place.startswith("*"):
                sheet[place.strip("*")].font = Font(bold=True)
    else:
        for row in cells:
            sheet.append(row)
    for area in merged:
        sheet.merge_cells(area)
    for place, code in formats.items():
        sheet[place].number_format = code
    return saved(made)


def saved(made: Workbook) -> bytes:
    held = io.BytesIO()
    made.save(held)
    return held.getvalue()


def read(data: bytes) -> Document:
    return parse(data, "a.xlsx")


def lines(data: bytes) -> list[str]:
    """Without the sheet's name and empty lines."""
    return [line for line in read(data).text.splitlines()[1:] if line]


RULE = "| --- | --- |"


def test_texts_stay_texts_blanks_are_blank_and_a_bar_makes_no_column() -> None:
    rows = [["Code", "Meaning"], ["NA", "None"], ["null", "a|b"], [None, "nan"], ["two\nlines", True]]
    table = ["| NA | None |", r"| null | a\|b |", "|  | nan |", "| two lines | TRUE |"]
    assert lines(book(rows)) == ["| Code | Meaning |", RULE, *table]


def test_merged_labels_stand_in_each_row_and_merged_headers_over_each_column() -> None:
    cells = {"A1": "Region", "B1": 2023, "B2": "Q1", "C2": "Q2", "A3": "North", "B3": 1, "C3": 2, "B4": 3, "C4": 4}
    table = lines(book(cells, ["A1:A2", "B1:C1", "A3:A4"]))
    assert [table[0], *table[2:]] == ["| Region | 2023 Q1 | 2023 Q2 |", "| North | 1 | 2 |", "| North | 3 | 4 |"]


def test_titles_above_the_header_are_no_header() -> None:
    cells = {"A1": "Quarterly report", "A2": "Made by Jane", "A4": "Region", "B4": "Sum", "A5": "North", "B5": 1}
    assert lines(book(cells, ["A1:B1"])) == [
        *("Quarterly report", "Made by Jane"),
        *("| Region | Sum |", RULE, "| North | 1 |"),
    ]


def test_formats_are_kept_as_a_reader_sees_them() -> None:
    rows = [["Share", "Price", "Day"], [0.155, 1000.5, date(2024, 1, 31)]]
    formats = {"A2": "0.0%", "B2": '#,##0.00\\ "€"', "C2": "dd.mm.yyyy"}
    assert lines(book(rows, formats=formats))[-1] == "| 15.5% | 1,000.50 € | 2024-01-31 |"


def test_hidden_sheets_are_left_out_and_named() -> None:
    made = Workbook()
    made.active.append(["Seen", "Too"])
    for name, state in (("Costs", "hidden"), ("Codes", "veryHidden")):
        sheet = made.create_sheet(name)
        sheet["A1"] = "secret"
        sheet.sheet_state = state
    document = read(saved(made))
    assert "secret" not in document.text
    assert [(n.kind, n.text) for n in document.notes] == [
        ("hidden_sheets", "hidden sheets were left out: Costs, Codes")
    ]


def test_formulas_without_a_saved_value_are_blank_and_counted() -> None:
    document = read(book([["Name", "Sum"], ["a", "=1+1"], ["b", "=B2"], ["c", 3]]))
    assert document.text.splitlines()[-3:] == ["| a |  |", "| b |  |", "| c | 3 |"]
    assert [note.text.partition(":")[0] for note in document.notes] == ["2 formulas have no saved value"]


@pytest.mark.parametrize("far", ["XFD2", "XFD1048576", "ZZ9"])
def test_one_value_far_away_adds_one_column_and_no_empty_ones(far: str) -> None:
    cells = {"A1": "Name", "B1": "Sum", "A2": "a", "B2": 1, "A3": "b", "B3": 2}
    text = read(book({**cells, far: "far"})).text
    assert "far" in text
    assert len(text) < 200
    assert "Unnamed" not in text


def test_a_table_goes_on_after_an_empty_row_and_another_one_begins_with_names() -> None:
    cells = {"*A1": "Region", "*B1": "Sum", "A2": "North", "B2": 1, "A4": "South", "B4": 2, "A6": "A note."}
    cells |= {"*A8": "Product", "*B8": "Price", "A9": "Pen", "B9": 3}
    assert lines(book(cells)) == [
        *("| Region | Sum |", RULE, "| North | 1 |", "| South | 2 |"),
        "A note.",
        *("| Product | Price |", RULE, "| Pen | 3 |"),
    ]


def test_rows_of_texts_after_an_empty_row_are_no_header() -> None:
    cells = {
        "A1": "Question",
        "B1": "Answer",
        "A2": "Why",
        "B2": "Because",
        "A4": "How",
        "B4": "So",
        "A5": "Who",
        "B5": "I",
    }
    assert lines(book(cells))[-2:] == ["| How | So |", "| Who | I |"]


def test_a_sheet_of_numbers_has_no_header() -> None:
    assert lines(book([[1, 2], [3, 4]])) == ["|  |  |", RULE, "| 1 | 2 |", "| 3 | 4 |"]


def test_merged_areas_larger_than_the_sheet_repeat_no_more_than_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    data = book({"A1": "all", "A2": "Name", "B2": "Sum", "A3": "a", "B3": 1}, ["A1:XFD1"])
    assert lines(data)[0] == "all"
    monkeypatch.setattr("plait.documents.grid._MAX_REPEATED_CHARS", 10)
    with pytest.raises(Unreadable, match=r"^merged cells of a table repeat more than"):
        read(data)


def test_a_large_sheet_with_hardly_anything_in_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [[None] * n + [n, n + 1] for n in range(60)]
    assert len(lines(book(cells))) == 62
    monkeypatch.setattr("plait.documents.grid._MAX_SPARSE_PLACES", 3_000)
    with pytest.raises(Unreadable, match=r"^a table has 3,660 cells for 120 texts$"):
        read(book(cells))
