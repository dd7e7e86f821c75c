"""Documents of office programs to Markdown by markitdown, with tables of ours (grid.py): its own drop merged cells.

In: bytes, and the suffix that says their format. Out: Markdown. What a failure means is for formats.py to say.
"""

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import Any

from bs4 import BeautifulSoup
from markdownify import ATX
from markitdown import DocumentConverterResult, StreamInfo, converters
from markitdown.converters._markdownify import _CustomMarkdownify

from plait.documents.grid import Cell, grouped_header_rows, spread, title_rows, to_markdown
from plait.documents.html import UNESCAPED, check_depth
from plait.documents.html_signs import write_signs
from plait.documents.html_tables import TableConverter, unwrap_layout


def office_to_markdown(data: bytes, suffix: str) -> str:
    """A DOCX, PPTX or EPUB as Markdown. Raises whatever its library trips over."""
    converter = _converter(suffix)
    return str(converter.convert(BytesIO(data), StreamInfo(extension=suffix), **UNESCAPED).markdown)


class _Markdownify(TableConverter, _CustomMarkdownify):  # type: ignore[misc]
    """Theirs but for tables."""


class _HtmlConverter(converters.HtmlConverter):  # type: ignore[misc]
    """What DOCX and EPUB become Markdown by, once they are web pages."""

    def convert(self, file_stream: Any, stream_info: Any, **options: Any) -> Any:
        page = BeautifulSoup(file_stream, "lxml", from_encoding=stream_info.charset or "utf-8")
        for element in page(["script", "style"]):
            element.extract()
        elements = page.find_all(True)
        check_depth(elements)
        write_signs(elements)
        unwrap_layout(page)
        body = page.body or page
        return DocumentConverterResult(_Markdownify(heading_style=ATX, **options).convert_soup(body).strip())


class _PptxConverter(converters.PptxConverter):  # type: ignore[misc]
    def _convert_table_to_markdown(self, table: Any, **options: Any) -> str:
        cells = [
            [
                Cell(" ".join(cell.text.split()), cell.span_width, cell.span_height)
                for cell in row.cells
                if not cell.is_spanned
            ]
            for row in table.rows
        ]
        rows = spread([cells])
        titles = title_rows(cells, rows)
        header_rows = grouped_header_rows(cells[titles:], rows[titles:]) or int(bool(table.first_row) and not titles)
        return f"\n\n{to_markdown(rows, header_rows, titles)}\n\n"

    def _convert_chart_to_markdown(self, chart: Any) -> str:
        """A chart's values, by category; a chart that the library cannot read has none to give."""
        try:
            names = [str(category.label) for category in chart.plots[0].categories]
            series = [(str(one.name), list(one.values)) for one in chart.series]
        except (ValueError, LookupError, AttributeError):
            return ""
        title = chart.chart_title.text_frame.text if chart.has_title and chart.chart_title.has_text_frame else ""
        values = [[name, *(_value(of, number) for _, of in series)] for number, name in enumerate(names)]
        table = to_markdown([["Category", *(name for name, _ in series)], *values], header_rows=1)
        return f"\n\n### {' '.join(f'Chart {title}'.split())}\n\n{table}\n\n"


def _value(values: Sequence[float | None], number: int) -> str:
    value = values[number] if number < len(values) else None
    return "" if value is None else f"{value:.15g}"


@cache
def _converter(suffix: str) -> Any:
    """One of markitdown's, not left for it to choose: it takes what is broken for plain text."""
    made = _CONVERTERS[suffix]()
    made._html_converter = _HtmlConverter()
    return made


_CONVERTERS = {".docx": converters.DocxConverter, ".pptx": _PptxConverter, ".epub": converters.EpubConverter}
