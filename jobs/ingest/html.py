"""From a web page to Markdown: its content, without what stands around it on every page of the site.

In: a page's text. Out: Markdown with the page's headings, tables and code blocks; targets of links are left out,
because they are noise to an embedding. It fetches nothing and runs nothing.

Compared on pages of the Python documentation with trafilatura, a general extractor, which lost 190 of 262 fences of
code in library/stdtypes.html and all four tables of library/json.html.
"""

from typing import Any

from plait.jobs.ingest.converted import Converted
from plait.jobs.ingest.html_content import content_of, remove_boilerplate
from plait.jobs.ingest.html_panels import label_panels
from plait.jobs.ingest.html_signs import write_signs
from plait.jobs.ingest.html_tables import TableConverter, unwrap_layout

# Escapes would stand in the text that people read and search: `json\_dumps`.
UNESCAPED: dict[str, Any] = {"escape_asterisks": False, "escape_underscores": False, "escape_misc": False}
"""Options of markdownify."""


def html_to_markdown(text: str) -> Converted:
    """The content of a page (html_content.py), with its title."""
    from bs4 import BeautifulSoup

    # As UTF-8, and said to be that: lxml would believe a page that declares another encoding.
    page = BeautifulSoup(text.encode("utf-8", "surrogatepass"), "lxml", from_encoding="utf-8")
    title = " ".join(page.title.get_text(" ").split()) if page.title else ""
    elements = page.find_all(True)
    remove_boilerplate(elements, shown=label_panels(page, elements))
    elements = page.find_all(True)
    write_signs(elements)
    unwrap_layout(page)
    converter = _converter()
    parts = (str(converter.process_tag(part)).strip() for part in content_of(page, elements, title))
    return Converted("\n\n".join(filter(None, parts)), title=title)


def _converter() -> Any:
    from markdownify import ATX, MarkdownConverter

    class PageConverter(TableConverter, MarkdownConverter):
        """Ours where a page has tables."""

    return PageConverter(heading_style=ATX, strip=["a", "img", "sub", "sup"], **UNESCAPED)
