"""Of a PDF each page is read in its own direction, and pages that hold nothing to read are named."""

from collections.abc import Sequence

import pytest

from plait.documents.converted import Converted
from plait.documents.failure import Unreadable
from plait.documents.hyphens import join_hyphenated
from plait.documents.parse import parse
from plait.documents.pdf import pdf_to_markdown
from plait.index.words import analyzed

LINES = ("The quick brown fox", "jumps over the lazy dog", "and runs away at once.")
DIRECTIONS = {0: "1 0 0 1 72 {far}", 90: "0 1 -1 0 {at} 72", 180: "-1 0 0 -1 540 {at}", 270: "0 -1 1 0 {far} 720"}
WITHOUT_CHARACTERS = (
    "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [<< /Type /Font "
    "/Subtype /CIDFontType2 /BaseFont /X /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
    "/FontDescriptor << /Type /FontDescriptor /FontName /X /Flags 4 /FontBBox [0 0 1000 1000] >> >>] >>"
)
OBLIQUE = (("150 250", "Not for sale"), ("180 220", "Draft 2"))
SCAN = "q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q"


def lines(direction: int = 0, texts: Sequence[str] = LINES, start: int = 100) -> str:
    """Lines of text that run in a direction, in degrees counter-clockwise."""
    drawn = []
    for number, text in enumerate(texts):
        at, far = start + 14 * number, 700 - start - 14 * number
        drawn.append(f"BT /F1 12 Tf {DIRECTIONS[direction].format(at=at, far=far)} Tm ({text}) Tj ET")
    return " ".join(drawn)


def pdf(*pages: str, rotate: int = 0) -> bytes:
    """A PDF whose pages have these contents."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, content in enumerate(pages):
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Rotate {rotate} /Contents {5 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 3 0 R /F2 {WITHOUT_CHARACTERS} >> >> >>"
        )
        bodies.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    file, places = "%PDF-1.4\n", []
    for number, body in enumerate(bodies, start=1):
        places.append(len(file))
        file += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{len(file)}\n%%EOF"
    return f"{file}xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}{end}".encode("latin-1")


# ------------------------------------------------------------ directions


@pytest.mark.parametrize("rotate", [0, 90])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_text_is_read_along_its_direction(direction: int, rotate: int) -> None:
    assert pdf_to_markdown(pdf(lines(direction), rotate=rotate)) == Converted("\n".join(LINES))


def test_a_stamp_at_the_edge_stands_after_the_text_in_one_piece() -> None:
    page = lines() + " " + lines(90, ["arXiv:2101.00001 stamped"], start=20)
    assert pdf_to_markdown(pdf(page)).text == "\n".join(LINES) + "\n\narXiv:2101.00001 stamped"


def test_a_watermark_does_not_stand_among_the_words() -> None:
    page = lines() + " BT /F1 60 Tf 0.7 0.7 -0.7 0.7 150 250 Tm (DRAFT) Tj ET"
    assert pdf_to_markdown(pdf(page)).text == "\n".join(LINES) + "\n\nDRAFT"


def test_oblique_lines_stand_apart() -> None:
    first, second = ("BT /F1 30 Tf 0.7 0.7 -0.7 0.7 {} Tm ({}) Tj ET".format(*line) for line in OBLIQUE)
    assert pdf_to_markdown(pdf(f"{lines()} {first} {second}")).text == "\n".join(
        (*LINES, "", "Not for sale", "Draft 2")
    )


@pytest.mark.parametrize("mirrored", ["-1 0 0 1 540 {at}", "1 0 0 -1 72 {at}"])
def test_mirrored_text_is_read_as_it_is_drawn(mirrored: str) -> None:
    page = " ".join(
        f"BT /F1 12 Tf {mirrored.format(at=600 - 14 * number)} Tm ({text}) Tj ET" for number, text in enumerate(LINES)
    )
    assert pdf_to_markdown(pdf(page)).text == "\n".join(LINES)
    assert pdf_to_markdown(pdf(f"{lines()} {page}")).text == "\n".join((*LINES, "", *LINES))


def test_a_table_of_a_page_that_lies_on_its_side_is_a_table() -> None:
    rows = [("Part", "Count", "Price"), ("Bolt", "12", "0.50"), ("Nut", "30", "0.20"), ("Long screw", "7", "1.00")]
    page = " ".join(
        f"BT /F1 12 Tf 0 1 -1 0 {100 + 20 * row} {72 + 150 * column} Tm ({cell} ) Tj ET"
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    )
    text = pdf_to_markdown(pdf(page)).text
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n")][2:] == [
        list(row) for row in rows[1:]
    ]


# ------------------------------------------------------------ pages without text


def test_pages_without_text_are_named_and_the_others_are_read() -> None:
    read = pdf_to_markdown(pdf(SCAN, lines(), SCAN, SCAN, SCAN))
    assert read.text == "\n".join(LINES)
    (note,) = read.notes
    assert note.kind == "pages_without_text"
    assert note.text.startswith("pages 1 and 3 to 5 hold no text that can be used, of 5: run OCR")


def test_a_scan_with_a_page_number_is_a_scan_and_an_empty_page_is_none() -> None:
    numbered = f"{SCAN} BT /F1 9 Tf 300 20 Td (Page 2) Tj ET"
    read = pdf_to_markdown(pdf(lines(), numbered, "", "0 0 100 100 re f"))
    assert read.text == "\n".join(LINES) + "\n\nPage 2"
    assert [note.text.partition(",")[0] for note in read.notes] == ["page 2 holds no text that can be used"]


@pytest.mark.parametrize(("pages", "reason"), [(1, "its page holds text"), (3, "none of its 3 pages holds text")])
def test_a_pdf_of_scans_alone_is_unreadable(pages: int, reason: str) -> None:
    with pytest.raises(Unreadable, match=f"^{reason}"):
        parse(pdf(*[SCAN] * pages), "x.pdf")


def test_signs_without_characters_are_no_text() -> None:
    unknown = "BT /F2 12 Tf 72 400 Td <{}> Tj ET"
    with pytest.raises(Unreadable, match="lacks its characters"):
        pdf_to_markdown(pdf(unknown.format("004100420043")))
    read = pdf_to_markdown(pdf(f"{lines()} {unknown.format('0041')}", unknown.format("0041")))
    assert read.text == "\n".join(LINES)
    assert [note.text.partition(",")[0] for note in read.notes] == ["page 2 holds no text that can be used"]


# ------------------------------------------------------------ words at line ends


def test_a_compound_cut_at_a_line_end_is_found_by_its_parts_and_as_one_word() -> None:
    for first, second in (("long", "term"), ("well", "known"), ("self", "contained")):
        found = analyzed(join_hyphenated(f"the {first}-\n{second} plan")).replace("-", " ").split()
        assert {first, second, first + second} <= set(found)


def test_a_word_cut_at_a_line_end_is_whole() -> None:
    page = pdf(lines(texts=("It holds infor-", "mation about a", "well-known sub-", "ject.")))
    assert pdf_to_markdown(page).text == "It holds information\nabout a\nwell-known subject."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the infor-\nmation we\nhave", "the information\nwe\nhave"),
        ("the infor- \n  mation", "the information"),
        ("a well-known fact, so well-\nknown that", "a well-known fact, so well-known\nthat"),
        ("it is long, and the term is new: a long-\nterm plan", "it is long, and the term is new: a long-term\nplan"),
        ("the long-\nterm plan is self-\ncontained", "the long-\nterm plan is self-\ncontained"),
        ("a highlight: a high-\nlight", "a highlight: a highlight"),
        ("a high\u00ad\nlight", "a highlight"),
        ("information, infor-\nmation.", "information, information."),
        ("the x-\nray and e-\nmail", "the x-ray\nand e-mail"),
        ("a state-of-the-\nart PDF-\nbased tool", "a state-of-the-art\nPDF-based\ntool"),
        ("pre-\nand post-war, Vor-\nund Nachteile", "pre-\nand post-war, Vor-\nund Nachteile"),
        ("Anglo-\nSaxon, 2020-\n2021, range 3-\nfold", "Anglo-\nSaxon, 2020-\n2021, range 3-\nfold"),
        ("https://example.com/foo-\nbar", "https://example.com/foo-\nbar"),
        ("Ver\u00ad\nwaltungs\u00adakt, Fuß\u2010\ngänger", "Verwaltungsakt,\nFußgänger"),
        ("a rule -\nand more", "a rule -\nand more"),
    ],
)
def test_hyphens_at_line_ends_go_where_they_are_no_part_of_the_word(text: str, expected: str) -> None:
    assert join_hyphenated(text) == expected
