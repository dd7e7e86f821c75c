"""Every format is read from a small real file of it."""

import io
import zipfile
from collections.abc import Callable

import pytest

from plait.documents.failure import Unreadable
from plait.documents.formats import FORMATS
from plait.documents.parse import Document, parse


def zipped(**files: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return held.getvalue()


def pdf(text: str = "Hello from a page") -> bytes:
    """One page with one line of text."""
    content = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET"
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R "
        "/Resources << /Font << /F1 4 0 R >> >> >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
    ]
    file, places = "%PDF-1.4\n", []
    for number, body in enumerate(bodies, start=1):
        places.append(len(file))
        file += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{len(file)}\n%%EOF"
    return f"{file}xref\n0 6\n0000000000 65535 f \n{table}{trailer}".encode()


def docx() -> bytes:
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    rows = "".join(f"<w:tr>{cell.format(a)}{cell.format(b)}</w:tr>" for a, b in (("Plan", "Price"), ("Pro", "10")))
    return zipped(
        **{
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
            'wordprocessingml.document.main+xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>'
            '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Contract</w:t></w:r></w:p>'
            f"<w:p><w:r><w:t>Pay in time_frame 3.</w:t></w:r></w:p><w:tbl>{rows}</w:tbl></w:body></w:document>",
            "word/styles.xml": f'<w:styles xmlns:w="{word}"><w:style w:type="paragraph" w:styleId="Heading1">'
            '<w:name w:val="heading 1"/></w:style></w:styles>',
            "word/_rels/document.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/styles" Target="styles.xml"/></Relationships>',
        }
    )


def pptx() -> bytes:
    from pptx import Presentation

    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Results"
    slide.placeholders[1].text = "It grew by half"
    held = io.BytesIO()
    presentation.save(held)
    return held.getvalue()


def xlsx() -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Prices"
    for row in (("Plan", "Price"), ("Pro", 10)):
        book.active.append(row)
    held = io.BytesIO()
    book.save(held)
    return held.getvalue()


def epub() -> bytes:
    return zipped(
        **{
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf"/></rootfiles></container>',
            "book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The Book</dc:title></metadata><manifest>'
            '<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="one"/></spine></package>',
            "one.xhtml": "<html><body><h1>Chapter one</h1><p>It was a dark night.</p></body></html>",
        }
    )


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("page.pdf", pdf, ["Hello from a page"]),
        ("contract.docx", docx, ["# Contract", "Pay in time_frame 3.", "| Plan | Price |", "| Pro | 10 |"]),
        ("talk.pptx", pptx, ["# Results", "It grew by half"]),
        ("prices.xlsx", xlsx, ["## Prices", "| Plan | Price |", "| Pro | 10 |"]),
        ("note.ipynb", lambda: b'{"cells": [{"cell_type": "code", "source": ["x = 1"]}]}', ["```python\nx = 1"]),
        ("book.epub", epub, ["# Chapter one", "It was a dark night."]),
    ],
)
def test_office_formats_become_markdown(name: str, make: Callable[[], bytes], expected: list[str]) -> None:
    document = parse(make(), name)
    assert document.syntax == "markdown"
    assert [part for part in expected if part not in document.text] == []


@pytest.mark.parametrize("name", ["x.pdf", "x.docx", "x.pptx", "x.xlsx", "x.epub", "x.ipynb"])
def test_a_file_that_is_not_what_its_suffix_says_is_unreadable(name: str) -> None:
    with pytest.raises(Unreadable, match=r"^it is not (a whole|valid) "):
        parse(b"this is no such file", name)


@pytest.mark.parametrize(("name", "syntax"), [("a.py", "python"), ("a.H", "c"), ("a.sql", "text"), ("a.yaml", "text")])
def test_source_code_and_configuration_stay_as_they_are(name: str, syntax: str) -> None:
    assert parse(b"# x\ny: 1\n", name) == Document("# x\ny: 1\n", name if syntax != "text" else "a", syntax)


def test_minified_code_is_no_document() -> None:
    with pytest.raises(Unreadable, match="minified or generated"):
        parse(b"// Search index\n" + b"a=1;" * 2000, "searchindex.js")


def test_every_suffix_is_lower_case_and_known_once() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in FORMATS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "koi8-r", "shift_jis"])
def test_the_encoding_of_a_text_is_found_out(encoding: str) -> None:
    text = {
        "koi8-r": "Всё, что нужно знать о программе: она читает документы и отвечает на вопросы. " * 3,
        "shift_jis": "この文書は日本語で書かれています。プログラムは文書を読み、質問に答えます。" * 3,
    }.get(encoding, "Grüße aus Köln: die Straße ist für Fußgänger geöffnet, außer über Weihnachten. " * 3)
    assert parse(text.encode(encoding), "x.txt").text == text


# ------------------------------------------------------------ HTML

PAGE = """<html><head><title>Site</title><style>p {}</style></head><body>
<header>My site</header><nav><a href="/">Home</a></nav><aside>Advertisement</aside>
%s
<div role="contentinfo">Imprint</div><footer>Copyright</footer><script>alert(1)</script></body></html>"""
CONTENT = """<nav>On this page</nav><h1>Grüße<a class="headerlink" href="#x">¶</a></h1>
<p>Call <a href="api.html#f"><code>json.dump_all</code></a> with <b>*args</b>.</p><aside>Note this.</aside>
<h2>Use</h2><pre>def f():
    return 1</pre><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"""
CLEAN = """# Grüße

Call `json.dump_all` with ***args**.

Note this.

## Use

```
def f():
    return 1
```

| a | b |
| --- | --- |
| 1 | 2 |"""


@pytest.mark.parametrize("frame", ["<main>%s</main>", '<div role="main">%s</div>', "<article>%s</article>"])
def test_of_a_page_its_content_is_kept_with_headings_code_and_tables(frame: str) -> None:
    document = parse((PAGE % frame % CONTENT).encode(), "p.html")
    assert document.text == CLEAN
    assert document.title == "Grüße"
    assert [heading.words for heading in document.headings] == ["Grüße", "Use"]


def test_of_a_page_that_marks_no_content_the_frame_is_left_out() -> None:
    text = parse((PAGE % "<form><p>All of it</p></form>").encode(), "p.html").text
    assert text == "All of it"


def test_a_page_of_many_articles_keeps_them_all_with_their_headers() -> None:
    articles = "<article><header><h2>One</h2></header>1</article><article><header><h2>Two</h2></header>2</article>"
    document = parse((PAGE % articles).encode(), "p.html")
    assert [heading.words for heading in document.headings] == ["One", "Two"]


@pytest.mark.parametrize("declaration", ['<meta charset="iso-8859-1">', ""])
def test_the_encoding_of_a_page_is_declared_or_found_out(declaration: str) -> None:
    text = "<p>Die Straße nach Köln ist für Fußgänger geöffnet, außer über Weihnachten.</p>" * 3
    page = f"<html><head>{declaration}</head><body><h1>Grüße</h1>{text}</body></html>"
    assert parse(page.encode("iso-8859-1"), "p.htm").title == "Grüße"


def test_a_page_nested_without_end_is_one_unreadable_document() -> None:
    with pytest.raises(Unreadable, match="nested too deeply"):
        parse(b"<div>" * 5000 + b"x" + b"</div>" * 5000, "deep.html")
