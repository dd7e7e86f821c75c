"""What of a web page is its content, and what stands around it on every page of the site.

In: the tree of a page. Out: the same tree without boilerplate, and the parts of it that are content. It looks at markup
alone, and knows no single site.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from bs4.element import NavigableString

# What never is content: it is removed wherever it stands. (Not as one CSS selector, which takes ten times as long.)
_BOILERPLATE = frozenset({"script", "style", "template", "noscript", "iframe", "svg", "nav", "button", "dialog"})
_BOILERPLATE_ROLES = frozenset({"navigation", "search", "contentinfo", "dialog", "alertdialog"})
_LINKS_TO_HEADINGS = frozenset({"headerlink", "hash-link", "header-anchor", "anchorjs-link"})
# What is content inside an article (its own header, a note) and the site's frame outside of one.
_FRAME = frozenset({"header", "footer", "aside"})
# A main part with less of the page's text than this is no more than a wrapper of something, such as a search field.
_LEAST_SHARE = 0.25
_MOST_LINKED = 0.5  # share of a block's text: navigation has more


def remove_boilerplate(elements: Iterable[Any], shown: Collection[int]) -> None:
    """Remove what no reader of a page sees, or sees on every page: scripts, navigation, buttons, what is hidden.

    A banner, which may hold the page's heading, becomes the header that it is.

    Args:
        elements: all of the page.
        shown: `id()` of hidden ones that a reader can choose to see.
    """
    unwanted = []
    for element in elements:
        if _is_boilerplate(element, shown):
            unwanted.append(element)
        elif element.attrs and element.attrs.get("role") == "banner":
            element.name = "header"
    for element in unwanted:
        element.decompose()


def _is_boilerplate(element: Any, shown: Collection[int]) -> bool:
    attributes = element.attrs
    if element.name in _BOILERPLATE:
        return True
    if not attributes:
        return False
    is_hidden = attributes.get("aria-hidden") == "true" or attributes.get("hidden", "until-found") != "until-found"
    if is_hidden and id(element) not in shown:
        return True
    if element.name == "a" and not _LINKS_TO_HEADINGS.isdisjoint(attributes.get("class", ())):
        return True
    return attributes.get("role") in _BOILERPLATE_ROLES


def content_of(page: Any, elements: Iterable[Any], title: str) -> list[Any]:
    """The parts of a page without boilerplate that are content, in order.

    These are all that are marked as main (`main`, `role=main`), if they hold a fair share of the text; else the body
    without the site's frame: headers, footers and asides outside of articles, and lists of links around a single
    article. Headers and asides that hold nearly all of the text are no frame. Where none of the parts holds a heading
    of level 1, one that stands outside comes first.

    Args:
        page: its tree.
        elements: all of it.
        title: its title, which tells its heading from the site's name.
    """
    body = page.body or page
    marked = (element for element in elements if element.name == "main" or element.attrs.get("role") == "main")
    parts = [part for part in marked if not _parent(part, {"main"}, "main")]
    if parts and not _hold_much(parts, body):
        parts = []
    heading = _heading_outside([element for element in elements if element.name == "h1"], parts, title)
    if heading is not None:
        heading.extract()
    if not parts:
        _remove_frame(body)
        parts = [body]
    return parts if heading is None else [heading, *parts]


def _hold_much(parts: list[Any], body: Any) -> bool:
    outside = sum(_lengths(body, {"a", *_FRAME}, parts))
    needed = outside * _LEAST_SHARE / (1 - _LEAST_SHARE)
    held = 0
    for part in parts:
        for length in _lengths(part):
            held += length
            if held >= needed:
                return True
    return held >= needed


def _lengths(element: Any, left_out: Collection[str] = (), parts: Iterable[Any] = ()) -> Iterator[int]:
    """Lengths of the texts in an element, without elements of some names and without some parts of it."""
    unwanted = {id(part) for part in parts}
    pending = [element]
    while pending:
        for child in pending.pop().contents:
            if type(child) is NavigableString:
                yield len(child.strip())
            elif child.name and child.name not in left_out and id(child) not in unwanted:
                pending.append(child)


def _heading_outside(headings: list[Any], parts: list[Any], title: str) -> Any:
    """The page's heading where its content lacks it. One in a header may be the site's name: not if the title begins
    with it."""
    inside = {id(part) for part in parts}
    found = None
    for heading in headings:
        frame = _parent(heading, _FRAME)
        is_content = any(id(parent) in inside for parent in heading.parents) if parts else not _is_frame(frame)
        if is_content:
            return None
        words = " ".join(heading.get_text(" ").split())
        is_heading = frame is None or (frame.name == "header" and title.casefold().startswith(words.casefold()))
        if found is None and words and is_heading:
            found = heading
    return found


def _remove_frame(body: Any) -> None:
    frame = [element for element in body.find_all(list(_FRAME)) if _is_frame(element)]
    footers = [element for element in frame if element.name == "footer"]
    if sum(_lengths(body, {"a"}, frame)) < _LEAST_SHARE * sum(_lengths(body, {"a"}, footers)):
        frame = footers
    if not any(_lengths(body, parts=frame)):
        frame = []
    for element in frame:
        if not element.decomposed:
            element.decompose()
    articles = body.find_all("article")
    if len(articles) == 1:
        around = articles[0]
        while around is not body and around.parent is not None:
            for element in [*around.previous_siblings, *around.next_siblings]:
                if element.name and _is_list_of_links(element):
                    element.decompose()
            around = around.parent


def _is_frame(element: Any) -> bool:
    return element is not None and not _parent(element, {"article", "main"}, "main")


def _is_list_of_links(element: Any) -> bool:
    length = sum(_lengths(element))
    return sum(_lengths(element, {"a"})) < (1 - _MOST_LINKED) * length


def _parent(element: Any, names: Collection[str], role: str = "") -> Any:
    """The nearest element around it with one of some names or a role."""
    for parent in element.parents:
        if parent.name in names or (role and parent.attrs.get("role") == role):
            return parent
    return None
