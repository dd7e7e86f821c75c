"""From a web page to Markdown: its content, without what stands around it on every page of the site.

In: bytes. Out: Markdown with the page's headings, tables and code blocks; targets of links are left out, because they
are noise to an embedding. It fetches nothing and runs nothing.

Compared on pages of the Python documentation with trafilatura, a general extractor, which lost 190 of 262 fences of
code in library/stdtypes.html and all four tables of library/json.html.
"""

from typing import Any

# What never is content: it is removed wherever it stands. (Not as one CSS selector, which takes ten times as long.)
_FURNITURE = frozenset({"script", "style", "template", "noscript", "iframe", "svg", "nav", "button"})
_FURNITURE_ROLES = frozenset({"navigation", "search", "banner", "contentinfo"})
# What is content inside an article (its own header, a note) and the site's frame outside of one.
_FRAME = "header, footer, aside"

# Escapes would stand in the text that people read and search: `json\_dumps`.
UNESCAPED: dict[str, Any] = {"escape_asterisks": False, "escape_underscores": False, "escape_misc": False}
"""Options of markdownify."""


def html_to_markdown(data: bytes) -> str:
    """The main content of a page: what is marked as such (`main`, `role=main`, a single `article`), else the body."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(data, "lxml", from_encoding=_encoding(data))
    for element in [element for element in page.find_all(True) if _is_furniture(element)]:
        element.decompose()
    return str(_converter().convert_soup(_main_content(page))).strip()


def _is_furniture(element: Any) -> bool:
    attributes = element.attrs
    if element.name in _FURNITURE or "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    is_link_to_heading = element.name == "a" and "headerlink" in attributes.get("class", ())
    return is_link_to_heading or attributes.get("role") in _FURNITURE_ROLES


def _encoding(data: bytes) -> str | None:
    """UTF-8 where it is; otherwise the parser looks for a declaration and then at the bytes."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"


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

    return MarkdownConverter(heading_style=ATX, strip=["a", "img"], **UNESCAPED)
