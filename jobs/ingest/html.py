"""From a web page to Markdown: its content, without what stands around it on every page of the site.

In: a page's text. Out: Markdown with the page's headings, tables and code blocks; targets of links are left out,
because they are noise to an embedding. It fetches nothing and runs nothing.

Compared on pages of the Python documentation with trafilatura, a general extractor, which lost 190 of 262 fences of
code in library/stdtypes.html and all four tables of library/json.html.
"""

from typing import Any

from plait.jobs.ingest.converted import Converted
from plait.jobs.ingest.html_tables import TableConverter, unwrap_layout

# What never is content: it is removed wherever it stands. (Not as one CSS selector, which takes ten times as long.)
_FURNITURE = frozenset({"script", "style", "template", "noscript", "iframe", "svg", "nav", "button"})
_FURNITURE_ROLES = frozenset({"navigation", "search", "banner", "contentinfo"})
# What is content inside an article (its own header, a note) and the site's frame outside of one.
_FRAME = "header, footer, aside"

# Escapes would stand in the text that people read and search: `json\_dumps`.
UNESCAPED: dict[str, Any] = {"escape_asterisks": False, "escape_underscores": False, "escape_misc": False}
"""Options of markdownify."""


def html_to_markdown(text: str) -> Converted:
    """The main content of a page: what is marked as such (`main`, `role=main`, a single `article`), else the body."""
    from bs4 import BeautifulSoup

    # As UTF-8, and said to be that: lxml would believe a page that declares another encoding.
    page = BeautifulSoup(text.encode("utf-8", "surrogatepass"), "lxml", from_encoding="utf-8")
    title = page.title.get_text(" ", strip=True) if page.title else ""
    for element in [element for element in page.find_all(True) if _is_furniture(element)]:
        element.decompose()
    unwrap_layout(page)
    return Converted(str(_converter().convert_soup(_main_content(page))).strip(), title=title)


def _is_furniture(element: Any) -> bool:
    attributes = element.attrs
    if element.name in _FURNITURE or "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    is_link_to_heading = element.name == "a" and "headerlink" in attributes.get("class", ())
    return is_link_to_heading or attributes.get("role") in _FURNITURE_ROLES


def _main_content(page: Any) -> Any:
    marked = page.select_one("main, [role=main]")
    if marked:
        return marked
    articles = page.select("article")
    if len(articles) == 1:
        return articles[0]
    for element in page.select(_FRAME):
        if not element.find_parent("article"):
            element.decompose()
    return page.body or page


def _converter() -> Any:
    from markdownify import ATX, MarkdownConverter

    class PageConverter(TableConverter, MarkdownConverter):
        """Ours where a page has tables."""

    return PageConverter(heading_style=ATX, strip=["a", "img"], **UNESCAPED)
