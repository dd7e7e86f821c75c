"""Tables of web pages keep their meaning: each value in its column, under its name."""

import pytest

from plait.documents.failure import Unreadable
from plait.documents.html import html_to_markdown
from plait.documents.parse import parse


def lines(html: str) -> list[str]:
    return html_to_markdown(html).text.splitlines()


def test_merged_cells_are_repeated_and_values_stay_in_their_columns() -> None:
    page = "<table><tr><td rowspan=2>North</td><td>10</td><td>11</td></tr><tr><td>20</td><td>21</td></tr></table>"
    assert lines(page)[2:] == ["| North | 10 | 11 |", "| North | 20 | 21 |"]


def test_head_body_and_foot_are_in_the_order_of_a_reader_and_the_head_is_one_row() -> None:
    page = (
        "<table><caption>Sales</caption><tfoot><tr><td>All<td>4<td>6</tfoot>"
        "<thead><tr><th rowspan=2>Region<th colspan=2>2023<tr><th>Q1<th>Q2</thead>"
        "<tbody><tr><td rowspan=0>North<td>1<td>2<tr><td>3<td>4</tbody></table>"
    )
    table = ["| Region | 2023 Q1 | 2023 Q2 |", "| --- | --- | --- |", "| North | 1 | 2 |", "| North | 3 | 4 |"]
    assert lines(page) == ["Sales", "", *table, "| All | 4 | 6 |"]


def test_bars_and_markup_stay_in_their_cells() -> None:
    page = "<table><tr><th>Command<th>Use<tr><td><code>a | b</code><td>a <b>pipe</b>,<br>always</table>"
    assert lines(page)[2] == r"| `a \| b` | a **pipe**, always |"


def test_a_table_in_a_cell_breaks_neither() -> None:
    page = "<table><tr><th>Name<th>Sizes<tr><td>a<td><table><tr><th>x<th>y<tr><td>1<td>2</table><tr><td>b<td>c</table>"
    assert lines(page)[2:] == ["| a | x, y; 1, 2 |", "| b | c |"]


@pytest.mark.parametrize(
    "page",
    [
        "<table><tr><td><h1>Guide</h1><td><table><tr><th>x<th>y<tr><td>1<td>2</table></table>",
        "<table role=presentation><tr><td><h1>Guide</h1><tr><td><table><tr><th>x<th>y<tr><td>1<td>2</table></table>",
        "<table><tr><td><h1>Guide</h1><tr><td>&nbsp;<tr><td><table><tr><th>x<th>y<tr><td>1<td>2</table></table>",
    ],
)
def test_a_table_that_lays_the_page_out_is_none(page: str) -> None:
    assert [line for line in lines(page) if line.strip()] == ["# Guide", "| x | y |", "| --- | --- |", "| 1 | 2 |"]


def test_a_box_in_a_cell_leaves_the_table_around_it_a_table() -> None:
    page = "<table><tr><td>Name<td>Size<tr><td>a<td><table><tr><td>5</table></table>"
    assert lines(page) == ["| Name | Size |", "| --- | --- |", "| a | 5 |"]


def test_code_beside_its_line_numbers_stays_code() -> None:
    page = "<table><tr><td><pre>1\n2</pre><td><pre>def f():\n    return 1</pre></table>"
    assert "```\ndef f():\n    return 1\n```" in html_to_markdown(page).text


@pytest.mark.parametrize("span", ["100000", "99999999999999999999", "-1", "x", "", "1.5", "²"])
def test_an_absurd_span_is_as_wide_as_the_table(span: str) -> None:
    page = f"<table><tr><th>a<th>b<tr><td colspan='{span}'>all<tr><td rowspan='{span}'>1<td>2</table>"
    assert lines(page)[0] == "| a | b |"
    assert lines(page)[3] == "| 1 | 2 |"


def test_a_table_that_would_fill_the_memory_is_one_unreadable_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.documents.grid._MAX_REPEATED_CHARS", 10_000)
    page = "<table><tr>" + "<td rowspan=99>x" * 99 + "<tr><td>1" * 99 + "</table>"
    with pytest.raises(Unreadable, match=r"^merged cells of a table repeat more than"):
        parse(page.encode(), "x.html")


@pytest.mark.parametrize(
    ("page", "first", "last"),
    [
        ("<table><form><tr><td>a<td>b<tr><td>c<td>d</form></table>", "a b", "c d"),
        ("<table><div><tr><td>a<td>b<tr><td>c<td>d</table>", "a b", "c d"),
        ("<table><tbody><center><tr><td>a<td>b<tr><td>c<td>d</table>", "a b", "c d"),
        ("<table><thead><th>a<th>b</thead><tbody><tr><td>1<td>2</table>", "a b", "1 2"),
        ("<table><th>a<th>b<tr><td>1<td>2</table>", "a b", "1 2"),
        ("<table><tr><form><td>a<td>b<tr><td>c<td>d</table>", "a b", "c d"),
    ],
)
def test_cells_are_found_whatever_stands_between_them_and_their_table(page: str, first: str, last: str) -> None:
    assert lines(page)[::2] == [f"| {' | '.join(row.split())} |" for row in (first, last)]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a</p><td>x</td>b", "a x b"),
        ("<tr><td>x<td>y", "x y"),
        ("<table><form><tr><td>x<td>y</form></table>", "x y"),
        ("<table><tr>loose<td>a<td>b<tr><td>1<td>2</table>", "loose | a | b | | --- | --- | | 1 | 2 |"),
        (
            "<table><tr><th>a<th>b<tr><td><table><caption>Named</caption><tr><td>x<td>y<tr><td>1<td>2</table><td>3</table>",
            "| a | b | | --- | --- | | Named x, y; 1, 2 | 3 |",
        ),
    ],
)
def test_text_of_cells_without_a_table_and_beside_cells_is_kept(page: str, text: str) -> None:
    assert html_to_markdown(page).text.split() == text.split()


def test_a_title_over_the_table_stands_above_it_also_where_no_header_is_marked() -> None:
    page = "<table><tr><td colspan=3>Sales 2024<tr><td>Region<td>Q1<td>Q2<tr><td>North<td>1<td>2</table>"
    assert lines(page)[:3] == ["Sales 2024", "", "| Region | Q1 | Q2 |"]


@pytest.mark.parametrize("name", ["%", "Yes"])
def test_columns_may_have_the_same_name(name: str) -> None:
    assert lines(f"<table><tr><th>{name}<th>{name}<tr><td>1<td>2</table>")[0] == f"| {name} | {name} |"
