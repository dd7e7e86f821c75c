"""Tables of Word and PowerPoint keep their merged cells."""

import io
import zipfile

from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from plait.documents.parse import parse

TABLE = ["| Region | 2023 Q1 | 2023 Q2 |", "| --- | --- | --- |", "| North | 1 | 2 |", r"| North | 4 | 5\|6 |"]


def docx(*rows: str) -> bytes:
    """A document with a table. Cells are `text`, `text>2` over two columns, `text_` with `^` below over two rows."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def cell(said: str) -> str:
        text, _, columns = said.partition(">")
        kind = {"_": '<w:vMerge w:val="restart"/>', "^": "<w:vMerge/>"}.get(text[-1], "")
        span = f'<w:gridSpan w:val="{columns}"/>' if columns else ""
        run = f"<w:r><w:t>{text.strip('_^')}</w:t></w:r>"
        return f"<w:tc><w:tcPr>{span}{kind}</w:tcPr><w:p>{run}</w:p></w:tc>"

    table = "".join(f"<w:tr>{''.join(map(cell, row.split()))}</w:tr>" for row in rows)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body><w:tbl>{table}</w:tbl></w:body></w:document>',
    }
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return held.getvalue()


def test_merged_cells_of_a_document_are_repeated() -> None:
    text = parse(docx("Region_ 2023>2", "^ Q1 Q2", "North_ 1 2", "^ 4 5|6"), "a.docx").text
    assert text.splitlines() == TABLE
    text = parse(docx("Region Q1 Q2", "North_ 1 2", "^ 4>2"), "a.docx").text
    assert text.splitlines() == ["| Region | Q1 | Q2 |", TABLE[1], TABLE[2], "| North | 4 | 4 |"]


def test_merged_cells_of_a_slide_are_repeated() -> None:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    table = slide.shapes.add_table(4, 3, Inches(1), Inches(1), Inches(4), Inches(2)).table
    for r, row in enumerate(["Region 2023 .", ". Q1 Q2", "North 1 2", ". 4 5|6"]):
        for c, text in enumerate(row.split()):
            table.cell(r, c).text = text.strip(".")
    table.cell(0, 0).merge(table.cell(1, 0))
    table.cell(0, 1).merge(table.cell(0, 2))
    table.cell(2, 0).merge(table.cell(3, 0))
    held = io.BytesIO()
    presentation.save(held)
    assert parse(held.getvalue(), "a.pptx").text.splitlines()[-4:] == TABLE


def test_a_chart_is_a_table_of_its_values_in_which_missing_ones_are_blank() -> None:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    data = CategoryChartData()
    data.categories = ["East|West", "North"]
    data.add_series("Q1", (1, None))
    data.add_series("Q2", (2.5, 3))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(1), Inches(4), Inches(2), data)
    held = io.BytesIO()
    presentation.save(held)
    table = ["| Category | Q1 | Q2 |", "| --- | --- | --- |", r"| East\|West | 1 | 2.5 |", "| North |  | 3 |"]
    assert parse(held.getvalue(), "a.pptx").text.splitlines()[-4:] == table
