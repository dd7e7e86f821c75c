"""PDFs to text, page by page: in the direction in which a reader reads it, with tables, and words whole at line ends.

In: bytes. Out: Markdown without headings, and a note about pages that hold no text that can be used, as scanned ones.
Pages are laid out by pdfminer.six; tables without lines are found by markitdown. Raises whatever these trip over.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import pdfplumber
from markitdown.converters import _pdf_converter as markitdown_pdf
from pdfminer.layout import LAParams, LTChar, LTContainer, LTImage, LTPage, LTTextBox

from plait.documents.converted import Converted, Note
from plait.documents.failure import Unreadable
from plait.documents.hyphens import join_hyphenated

_UNKNOWN_SIGN = re.compile(r"\(cid:\d+\)")  # pdfminer's for what its font has no character for
_TURNED = (90, 180, 270)
_OBLIQUE = -1  # or mirrored
_STRAIGHT_WITHIN = 10  # degrees; text at other angles is a stamp or a watermark
_MOST_UNKNOWN = 0.3  # share of a page's signs that its fonts give no characters for
_FEW_LETTERS = 50  # on a page that is a picture: a stamp, a page number
_DRAWN = 5  # lines on a page without a letter: fewer are the frame of an empty one
_LARGE = 0.5  # share of a page that a picture covers when it is a scan
_LEAST_BLANKS = 0.05  # share of a page's signs; TeX writes none, and its words would pass for columns


@dataclass(frozen=True)
class _Page:
    """`is_usable`: it holds text that can be used, or nothing at all."""

    text: str
    is_usable: bool


def pdf_to_markdown(data: bytes) -> Converted:
    """The text of a PDF.

    Raises:
        Unreadable: when no page holds text that can be used.
    """
    with pdfplumber.open(BytesIO(data)) as pdf:
        pages = [_read(page) for page in pdf.pages]
    unusable = [number for number, page in enumerate(pages, start=1) if not page.is_usable]
    text = join_hyphenated("\n\n".join(filter(None, (page.text for page in pages))))
    if not text and unusable:
        which = "its page holds" if len(pages) == 1 else f"none of its {len(pages)} pages holds"
        raise Unreadable(f"{which} text that can be used: it is a scan, or lacks its characters; run OCR over it")
    if not unusable:
        return Converted(text)
    are = f"page {unusable[0]} holds" if len(unusable) == 1 else f"pages {_ranges(unusable)} hold"
    note = f"{are} no text that can be used, of {len(pages)}: run OCR over it to find what is on them"
    return Converted(text, (Note("pages_without_text", note),))


def _ranges(numbers: Sequence[int]) -> str:
    """2, 4 to 10 and 12."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(named[:-1]) + " and " * (len(named) > 1) + named[-1]


def _read(page: Any) -> _Page:
    chars = list(_chars(page.layout))
    main = _main_direction(chars)
    if main in _TURNED:
        page = _turned(page, main)
        chars = list(_chars(page.layout))
    letters = sum(char.get_text().isalnum() for char in chars)
    unknown = sum(not _is_character(char.get_text()) for char in chars)
    is_known = unknown <= _MOST_UNKNOWN * len(chars)
    is_scan = letters < _FEW_LETTERS and _picture_share(page.layout) > _LARGE
    is_drawn = letters == 0 and _is_drawn_on(page.layout)
    text = "\n\n".join(filter(None, _texts(page, chars))) if is_known and letters else ""
    page.close()  # or all pages would stay in memory
    return _Page(text, is_usable=is_known and not is_scan and not is_drawn)


def _turned(page: Any, direction: int) -> Any:
    """The same page with text of some direction upright, so that its tables are found too."""
    page.close()
    page.page_obj.rotate = page.page_obj.attrs["Rotate"] = (page.page_obj.rotate + direction) % 360
    return type(page)(page.pdf, page.page_obj, page.page_number, page.initial_doctop)


def _texts(page: Any, chars: Sequence[LTChar]) -> Iterator[str]:
    """The page's text, then that of other directions, as of a stamp at its edge or a label of an axis."""
    by_direction: dict[int, list[LTChar]] = {}
    for char in chars:
        by_direction.setdefault(_direction(char), []).append(char)
    upright = by_direction.pop(0, [])
    blanks = sum(char.get_text().isspace() for char in upright)
    table = None
    if blanks > _LEAST_BLANKS * len(upright):
        only_upright = page.filter(_is_upright) if by_direction else page
        table = markitdown_pdf._extract_form_content_from_words(only_upright)
    yield _tidy(_laid_out(upright, page.layout.bbox) if table is None else table)
    for direction in sorted(by_direction):
        if direction == _OBLIQUE:
            yield _tidy(_as_drawn(by_direction[direction]))
        else:
            bbox = _turn(by_direction[direction], direction, page.layout.bbox)
            yield _tidy(_laid_out(by_direction[direction], bbox))


def _as_drawn(chars: Sequence[LTChar]) -> str:
    """Signs in the order in which they are drawn, with a line for each of those that run beside each other."""
    text = chars[0].get_text()
    for before, char in pairwise(chars):
        text += "\n" * _is_on_next_line(before, char) + char.get_text()
    return text


def _is_on_next_line(before: LTChar, char: LTChar) -> bool:
    """It stands aside from where the sign before it goes, which text on a curve hardly does."""
    a, b, _, _, x, y = before.matrix
    aside = a * (char.matrix[5] - y) - b * (char.matrix[4] - x)
    return abs(aside) > math.hypot(a, b) * before.size / 2


def _laid_out(chars: Iterable[LTChar], bbox: tuple[float, float, float, float]) -> str:
    page: Any = LTPage(0, bbox)
    for char in chars:
        page.add(char)
    page.analyze(LAParams())
    return "\n".join(box.get_text() for box in page if isinstance(box, LTTextBox))


def _turn(
    chars: Iterable[LTChar], direction: int, bbox: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Turn signs so that they are upright; returns the bounds of what was the page."""
    right, top = bbox[2], bbox[3]
    for char in chars:
        x0, y0, x1, y1 = char.bbox
        if direction == 90:
            char.set_bbox((y0, right - x1, y1, right - x0))
        elif direction == 270:
            char.set_bbox((top - y1, x0, top - y0, x1))
        else:
            char.set_bbox((right - x1, top - y1, right - x0, top - y0))
        char.size = char.height
    return bbox if direction == 180 else (bbox[1], bbox[0], top, right)


def _main_direction(chars: Iterable[LTChar]) -> int:
    counts = Counter(_direction(char) for char in chars if char.get_text().isalnum())
    return max(counts, key=lambda direction: (counts[direction], direction == 0), default=0)


def _direction(char: LTChar) -> int:
    """Where a sign's line goes, in degrees counter-clockwise: 0, one of _TURNED, or _OBLIQUE, also where mirrored."""
    a, b, c, d = char.matrix[:4]
    if a * d < b * c:
        return _OBLIQUE
    if b == 0 and a > 0:
        return 0
    degrees = math.degrees(math.atan2(b, a)) % 360
    nearest = round(degrees / 90) * 90
    return nearest % 360 if abs(degrees - nearest) <= _STRAIGHT_WITHIN else _OBLIQUE


def _is_upright(item: dict[str, Any]) -> bool:
    return item["object_type"] != "char" or bool(item["upright"])


def _chars(layout: LTContainer[Any]) -> Iterator[LTChar]:
    return (item for item in _items(layout) if isinstance(item, LTChar))


def _items(layout: LTContainer[Any]) -> Iterator[Any]:
    """What is on a page and in the figures on it, in the order in which it is drawn."""
    pending = [iter(layout)]
    while pending:
        item = next(pending[-1], None)
        if item is None:
            pending.pop()
        elif isinstance(item, LTContainer):
            pending.append(iter(item))
        else:
            yield item


def _is_drawn_on(layout: LTPage) -> bool:
    kinds = Counter(type(item) for item in _items(layout))
    return kinds[LTImage] > 0 or kinds.total() >= _DRAWN


def _picture_share(layout: LTPage) -> float:
    pictures = [item for item in _items(layout) if isinstance(item, LTImage)]
    largest = max((picture.width * picture.height for picture in pictures), default=0.0)
    return largest / max(1.0, layout.width * layout.height)


def _is_character(text: str) -> bool:
    """Fonts that lack a table of characters give signs of private use, or control characters."""
    return not _UNKNOWN_SIGN.fullmatch(text) and not any(
        "\ue000" <= sign <= "\uf8ff" or sign == "\ufffd" or sign < "\t" for sign in text
    )


def _tidy(text: str) -> str:
    """Lines without blanks at their ends and signs without characters, and paragraphs a line apart."""
    known = _UNKNOWN_SIGN.sub("", markitdown_pdf._merge_partial_numbering_lines(text))
    lines = [line.rstrip() for line in known.split("\n")]
    return "\n".join(line for place, line in enumerate(lines) if line or (place and lines[place - 1])).strip()
