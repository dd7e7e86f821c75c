"""From a web page to Markdown: its content, without what stands around it on every page of the site.

In: a page's text. Out: Markdown with the page's headings, tables and code blocks; targets of links are left out,
because they are noise to an embedding. It fetches nothing and runs nothing.

Compared on pages of the Python documentation with trafilatura, a general extractor, which lost 190 of 262 fences of
code in library/stdtypes.html and all four tables of library/json.html.
"""

from collections.abc import Iterable
from typing import Any

from plait.documents.converted import Converted
from plait.documents.html_content import content_of, remove_boilerplate
from plait.documents.html_panels import label_panels
from plait.documents.html_signs import write_signs
from plait.documents.html_tables import TableConverter, unwrap_layout

# Escapes would stand in the text that people read and search: `json\_dumps`.
UNESCAPED: dict[str, Any] = {"escape_asterisks": False, "escape_underscores": False, "escape_misc": False}
"""Options of markdownify."""

_MAX_DEPTH = 300  # markdownify makes three calls for each level, and Python allows about a thousand


def html_to_markdown(text: str) -> Converted:
    """The content of a page (html_content.py), with its title.

    Raises:
        RecursionError: when the page is nested too deeply.
    """
    from bs4 import BeautifulSoup

    # As UTF-8, and said to be that: lxml would believe a page that declares another encoding.
    page = BeautifulSoup(text.encode("utf-8", "surrogatepass"), "lxml", from_encoding="utf-8")
    elements = page.find_all(True)
    check_depth(elements)
    title = " ".join(page.title.get_text(" ").split()) if page.title else ""
    remove_boilerplate(elements, shown=label_panels(page, elements))
    elements = page.find_all(True)
    write_signs(elements)
    unwrap_layout(page)
    converter = _converter()
    parts = (str(converter.process_tag(part)).strip() for part in content_of(page, elements, title))
    return Converted("\n\n".join(filter(None, parts)), title=title)


def check_depth(elements: Iterable[Any]) -> None:
    """Refuse a page that is nested too deeply before anything looks at it, for that takes the longer the deeper it is.

    Args:
        elements: all of the page, each after the one around it.

    Raises:
        RecursionError: when more than 300 of them are inside each other.
    """
    depths: dict[int, int] = {}
    for element in elements:
        depths[id(element)] = depth = depths.get(id(element.parent), 0) + 1
        if depth > _MAX_DEPTH:
            raise RecursionError(f"more than {_MAX_DEPTH} elements are inside each other")


def _converter() -> Any:
    from markdownify import ATX, MarkdownConverter

    class PageConverter(TableConverter, MarkdownConverter):
        """Ours where a page has tables."""

    return PageConverter(heading_style=ATX, strip=["a", "img"], **UNESCAPED)
