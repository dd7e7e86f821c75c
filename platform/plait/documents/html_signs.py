"""What a web page shows by place or picture, written in the line: 10⁶ as 10^6, a picture as the text that describes it.

In: the elements of a page. Out: the same page, with text in place of superscripts, subscripts, formulas and pictures.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from bs4.element import NavigableString

_ENDINGS = frozenset({"st", "nd", "rd", "th", "er", "re", "ème", "eme", "ª", "º", "tm", "sm", "®", "™", "℠"})
"""Written high, but no exponents: 1st, 1º, Plait™."""
_ENDINGS_OF_NUMBERS = frozenset({"a", "e", "o"})

_PICTURES = frozenset({"img", "area", "input"})
_FILE_NAME = re.compile(r"[\w%./() -]*\.(png|jpe?g|gif|svg|webp|bmp|avif)", re.IGNORECASE)
_ONE_TERM = re.compile(r"[-+−]?\w+|\W")


def write_signs(elements: Iterable[Any]) -> None:
    """Put text in place of what is only seen.

    A superscript becomes `^6`, or `[1]` where it leads to a note; a subscript `_i`, but digits after a letter stay as
    they are (H2O); a formula its TeX where it has that; a picture its description, unless that is a file's name.
    """
    captions: dict[int, str] = {}
    seen = [element for element in elements if element.name in _WRITERS or element.name in _PICTURES]
    for element in reversed(seen):  # the inner ones first
        if element.parent is None:
            continue
        if element.name in _PICTURES:
            _write_picture(element, captions)
        else:
            _WRITERS[element.name](element)


def _write_superscript(element: Any) -> None:
    _become(element, _superscript(element, " ".join(element.get_text().split())))


def _write_subscript(element: Any) -> None:
    _become(element, _subscript(element, " ".join(element.get_text().split())))


def _become(element: Any, words: str) -> None:
    """Make plain text of an element where it stands: to replace it, Beautiful Soup counts all that stand before it."""
    element.name, element.attrs = "span", {}
    element.string = words


def _write_picture(picture: Any, captions: dict[int, str]) -> None:
    words = " ".join(picture.attrs.get("alt", "").split())
    if words and not _FILE_NAME.fullmatch(words) and words != _caption(picture, captions):
        _become(picture, _apart(picture, words))


def _superscript(element: Any, words: str) -> str:
    before = _before(element) if words else ""
    if not before or before.isspace() or words.lower() in _ENDINGS:
        return words
    if before.isdigit() and words in _ENDINGS_OF_NUMBERS:
        return words
    if element.find("a") is not None or element.find_parent("a") is not None:
        return words if words.startswith(("[", "(")) else f"[{words}]"
    return f"^{_term(words)}"


def _subscript(element: Any, words: str) -> str:
    before = _before(element) if words else ""
    if not before or before.isspace() or (before.isalpha() and words.isdigit()):
        return words
    return f"_{_term(words)}"


def _term(words: str) -> str:
    return words if _ONE_TERM.fullmatch(words) else f"({words})"


def _before(element: Any) -> str:
    """The character before an element; empty at the beginning of its block."""
    sibling = element.previous_sibling
    while sibling is not None:
        text = sibling if isinstance(sibling, NavigableString) else sibling.get_text()
        if text:
            return str(text[-1])
        sibling = sibling.previous_sibling
    parent = element.parent
    is_inline = parent is not None and parent.name in ("a", "b", "code", "em", "i", "span", "strong", "var")
    return _before(parent) if is_inline else ""


def _write_formula(formula: Any) -> None:
    tex = formula.find("annotation", encoding="application/x-tex")
    words = tex.get_text().strip() if tex is not None else str(formula.attrs.get("alttext", "")).strip()
    if words:
        _become(formula, words)
        return
    for note in formula.find_all(["annotation", "annotation-xml"]):
        note.decompose()
    for element in reversed(formula.find_all(["msup", "msub", "mfrac", "msqrt"])):
        terms = [_term("".join(child.get_text().split())) for child in element.find_all(True, recursive=False)]
        sign = {"msup": "^", "msub": "_", "mfrac": "/"}.get(element.name, "")
        element.replace_with(NavigableString(sign.join(terms) if sign else f"√{_term(''.join(terms))}"))
    _become(formula, " ".join(formula.get_text().split()))


def _caption(picture: Any, captions: dict[int, str]) -> str:
    """That of the figure around a picture, found once for each figure."""
    figure = picture.find_parent("figure")
    if figure is None:
        return ""
    if id(figure) not in captions:
        caption = figure.find("figcaption")
        captions[id(figure)] = " ".join(caption.get_text(" ").split()) if caption is not None else ""
    return captions[id(figure)]


def _apart(element: Any, words: str) -> str:
    """Words with blanks around them where text without a blank is beside them."""
    before, after = _text(element.previous_sibling), _text(element.next_sibling)
    left = " " if before and not before[-1].isspace() else ""
    right = " " if after and not after[0].isspace() else ""
    return f"{left}{words}{right}"


def _text(sibling: Any) -> str:
    """The text of what stands beside an element in its line."""
    if isinstance(sibling, NavigableString):
        return str(sibling)
    return str(sibling.get_text()) if sibling is not None and sibling.name == "span" else ""


_WRITERS: dict[str, Callable[[Any], None]] = {
    "math": _write_formula,
    "sup": _write_superscript,
    "sub": _write_subscript,
}
