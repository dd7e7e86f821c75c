"""Merged cells stand in each of their places, and what a hostile table would repeat has a limit."""

import pytest

from plait.documents.grid import Cell, TableTooLarge, grouped_header_rows, is_number, spread, title_rows, to_markdown


def cells(*rows: str) -> list[list[Cell]]:
    """Rows of cells, written as `North/1x2 10 11`: text, then columns x rows where it spans any."""
    made = []
    for row in rows:
        parts = [cell.partition("/")[::2] for cell in row.split()]
        spans = [[int(n) for n in (span or "1x1").split("x")] for _, span in parts]
        made.append([Cell(text, *span) for (text, _), span in zip(parts, spans, strict=True)])
    return made


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["North/1x2 10 11", "20 21"], ["North 10 11", "North 20 21"]),
        (["a b/2x1 c", "1 2 3 4"], ["a b b c", "1 2 3 4"]),
        (["a/2x2 b", "c", "d e f"], ["a a b", "a a c", "d e f"]),
        (["a b/1x2 c", "d/2x1", "e f g"], ["a b c", "d b", "e f g"]),
        (["a/1x0 b", "c", "d"], ["a b", "a c", "a d"]),
        (["a/1x9 b", "c"], ["a b", "a c"]),
        (["wide/100000x1", "a b"], ["wide wide", "a b"]),
        (["a/5x1 b/5x1", "c/5x1 d"], ["a b", "c d"]),
        (["a b c", "d", "e f"], ["a b c", "d", "e f"]),
    ],
)
def test_a_cell_stands_in_every_place_that_it_covers(rows: list[str], expected: list[str]) -> None:
    assert [" ".join(row) for row in spread([cells(*rows)])] == expected


def test_a_cell_spans_no_rows_of_another_group() -> None:
    assert spread([cells("a/1x9 b"), cells("c d")]) == [["a", "b"], ["c", "d"]]


def test_a_text_that_is_no_label_stands_once() -> None:
    prose = "word " * 300
    assert spread([[[Cell(prose, 1, 2), Cell("1")], [Cell("2")]]]) == [[prose, "1"], ["", "2"]]


@pytest.mark.parametrize(
    "rows",
    [
        [[Cell("x", 1, 200)] * 200, *([[Cell("y")]] * 200)],
        [[Cell("x", 1_000, 60_000)] for _ in range(1_000)],
        [[Cell("x" * 900, 1, 9_000)], *([[Cell("y")]] * 900)],
    ],
)
def test_merged_cells_that_would_fill_the_memory_are_refused(
    rows: list[list[Cell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.documents.grid._MAX_REPEATED_CHARS", 100_000)
    with pytest.raises(TableTooLarge, match="repeat more than 100,000 characters"):
        spread([rows])


def lines(markdown: str) -> list[str]:
    return markdown.splitlines()


def test_empty_rows_and_columns_are_left_out() -> None:
    table = [["", "a", "", "b"], ["", "", "", ""], ["", "1", "", ""]]
    assert lines(to_markdown(table, 1)) == ["| a | b |", "| --- | --- |", "| 1 |  |"]
    assert to_markdown([["", " "], []], 1) == ""


def test_a_bar_in_a_cell_makes_no_column_and_a_line_end_no_row() -> None:
    assert lines(to_markdown([["a|b", "c"], ["1\n2", "d\\|e"]], 1))[::2] == [r"| a\|b | c |", r"| 1 2 | d\\|e |"]


def test_several_header_rows_become_one_and_a_title_over_all_stands_above() -> None:
    table = [["Sales", "Sales", "Sales"], ["Region", "2024", "2024"], ["Region", "Q1", "Q2"], ["North", "1", "2"]]
    assert to_markdown(table, 2, title_rows=1).splitlines()[:3] == ["Sales", "", "| Region | 2024 Q1 | 2024 Q2 |"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["Sales/3x1", "Region Q1 Q2"], 1),
        (["Sales/3x1", "Europe/3x1", "Region Q1 Q2"], 2),
        (["", "Sales/3x2", "", "Region Q1 Q2"], 3),
        (["% % %", "1 2 3"], 0),
        (["Sales/2x1 Note", "a b c"], 0),
        (["Sales/2x1", "a b c"], 0),
        (["Sales", "a b c"], 0),
        (["a b", "Total/2x1"], 0),
    ],
)
def test_a_title_is_one_cell_over_the_whole_table_and_no_row_of_equal_names(rows: list[str], expected: int) -> None:
    table = cells(*rows)
    assert title_rows(table, spread([table])) == expected


def test_a_table_of_titles_alone_keeps_them() -> None:
    assert to_markdown([["Sales", "Sales"], ["", ""]], 0, 1) == "Sales"


@pytest.mark.parametrize(
    ("first", "is_header"),
    [("Plan,Price", True), ("Region,2023,2024", True), (",Q1,Q2", True), ("North,10,11", False), (",a", False)],
)
def test_a_first_row_of_names_is_the_header_where_none_is_marked(first: str, is_header: bool) -> None:
    row = first.split(",")
    table = lines(to_markdown([row, [*"xyz"][: len(row)]]))
    assert (table[0] == f"| {' | '.join(row)} |") == is_header
    assert len(table) == (3 if is_header else 4)


def test_a_first_row_of_groups_makes_a_header_of_several_rows() -> None:
    grouped = cells("Region/1x2 2023/2x1", "Q1 Q2", "North 1 2")
    assert grouped_header_rows(grouped, spread([grouped])) == 2
    values = cells("North/1x2 10 11", "20 21", "South 1 2")
    assert grouped_header_rows(values, spread([values])) == 0


@pytest.mark.parametrize("text", ["10", "-1,5", "15.5%", "$ 1,000.00", "2024-01-31", "(3)", "1 000 €"])
def test_amounts_and_dates_are_numbers(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize("text", ["", "Q1", "NA", "5 kg", "-"])
def test_words_are_no_numbers(text: str) -> None:
    assert not is_number(text)
