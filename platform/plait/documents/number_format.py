"""How a spreadsheet shows a number: `0.155` in the format `0.0%` is `15.5%`.

In: a value and its number format (ECMA-376 part 1, 18.8.31). Out: its text. Percentages, decimals, leading zeros,
thousands, scales, signs and currencies are as a reader sees them, with a point for decimals. Dates and times are
written as ISO 8601 has them, whatever their format, because `03/04/2024` is not the same day everywhere; as much of
them as the format shows. Fractions, exponents and conditions are shown as plain numbers.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any

GENERAL = "General"

_SECTIONS = re.compile(r';(?=(?:[^"]*"[^"]*")*[^"]*$)')
_TOKENS = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|(?P<padding>[_*].)|\[\$(?P<currency>[^\]-]*)[^\]]*\]|(?P<bracket>\[[^\]]*\])'
    r"|(?P<number>[0#?][0#?,]*(?:\.[0#?]*)?,*|\.[0#?]+)|(?P<plain>.)",
    re.DOTALL,
)
_MAX_FORMAT_CHARS = 255  # as in Excel
_MAX_DECIMALS = 30
_MOST = 1e30  # nobody writes out more
_CONTEXT = Context(prec=100)
_NO_LETTERS = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|AM/PM|A/P', re.IGNORECASE)


@dataclass(frozen=True)
class _Section:
    """A number format's part for positive numbers, say. `number`: where digits go; None: it shows no digits.

    `seams`: texts between digits, from the right, each with how many places for whole digits are right of it: `000-00`
    has ("-", 2).
    """

    before: str
    after: str
    number: str | None
    percents: int = 0
    seams: tuple[tuple[str, int], ...] = ()


def shown(value: Any, code: str) -> str:
    """The text of a cell's value, which may be a text, a number, a truth value, a date, a time or a duration."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _shown_number(value, code)
    if isinstance(value, timedelta):
        seconds = round(value.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if isinstance(value, datetime | date | time):
        return _shown_time(value, code)
    return str(value)


def _shown_number(value: float, code: str) -> str:
    section, is_negated = _section_for(value, code)
    if section is None or abs(value) >= _MOST:
        return _general(value)
    if section.number is None:
        return section.before.strip() or _general(value)
    text = _digits(abs(value), section)
    sign = "-" if value < 0 and not is_negated and re.search("[1-9]", text) else ""
    return f"{sign}{section.before}{text}{section.after}".strip()


def _section_for(value: float, code: str) -> tuple[_Section | None, bool]:
    """The section of a format that a number takes, and whether that shows the sign; None: as General."""
    sections = _parsed(code)
    if sections is None:
        return None, False
    if value < 0 and len(sections) > 1:
        return sections[1], True
    return sections[2 if value == 0 and len(sections) > 2 else 0], False


@lru_cache(maxsize=1_024)
def _parsed(code: str) -> tuple[_Section, ...] | None:
    if code in (GENERAL, "@", "") or len(code) > _MAX_FORMAT_CHARS:
        return None
    sections = tuple(_parsed_section(part) for part in _SECTIONS.split(code)[:3])
    return None if any(section is None for section in sections) else tuple(s for s in sections if s is not None)


def _parsed_section(part: str) -> _Section | None:
    percents = 0
    numbers: list[str] = []
    texts = [""]  # before, between and after the places for digits
    for token in _TOKENS.finditer(part):
        kind, text = token.lastgroup, token[0]
        if kind == "number":
            numbers.append(text)
            texts.append("")
            continue
        if kind == "bracket" and text[1:2] in "<>=":
            return None
        if kind == "plain" and (text in '/@"\\[' or text.isalpha()):
            return None  # a fraction, an exponent, General, or the letters of a date
        percents += kind == "plain" and text == "%"
        texts[-1] += "" if kind in ("padding", "bracket") else (token[kind] if kind else "")
    if not numbers:
        return _Section(texts[0], "", None, percents)
    if len(numbers) > 1 and ("," in "".join(numbers) or "." in "".join(numbers[:-1])):
        return None
    seams, places = [], 0
    for literal, number in zip(reversed(texts[1:-1]), reversed(numbers[1:]), strict=True):
        places += len(number.partition(".")[0])
        seams.append((literal, places))
    return _Section(texts[0], texts[-1], "".join(numbers), percents, tuple(seams))


def _digits(amount: float, section: _Section) -> str:
    whole, _, decimals = (section.number or "").rstrip(",").partition(".")
    scale = len(section.number or "") - len((section.number or "").rstrip(","))
    decimals = decimals[:_MAX_DECIMALS]
    exact = Decimal(f"{amount:.15g}").scaleb(2 * section.percents - 3 * scale)
    rounded = str(exact.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP, _CONTEXT))
    integer, _, fraction = rounded.partition(".")
    least = len(decimals.rstrip("#?"))
    fraction = fraction[:least] + fraction[least:].rstrip("0")
    integer = ("" if integer == "0" else integer).zfill(whole.count("0"))
    if "," in whole and len(integer) > 3:
        first = len(integer) % 3
        groups = [integer[:first], *(integer[place : place + 3] for place in range(first, len(integer), 3))]
        integer = ",".join(filter(None, groups))
    for text, places in reversed(section.seams):  # from the left: those further right stay where they are
        if 0 < places < len(integer):
            integer = f"{integer[:-places]}{text}{integer[-places:]}"
    if fraction:
        return f"{integer}.{fraction}"
    return integer or ("" if section.before else "0")  # a dash stands for nothing


def _general(value: float) -> str:
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value)):
        return str(int(value))
    return f"{value:.10g}" if abs(value) < 1e10 else f"{value:.15g}"


def _shown_time(value: datetime | date | time, code: str) -> str:
    letters = set(_NO_LETTERS.sub("", code).lower())
    day, clock = "", ""
    has_clock, has_day = bool(letters & set("hs")), bool(letters & set("yd"))
    if isinstance(value, time) or (has_clock and isinstance(value, datetime)):
        clock = f"{value:%H:%M:%S}" if "s" in letters else f"{value:%H:%M}"
    if not isinstance(value, time) and (has_day or not clock):
        is_month = has_day and "d" not in letters
        day = f"{value:%Y-%m-%d}" if not is_month else f"{value:%Y-%m}" if "m" in letters else f"{value:%Y}"
    return " ".join(filter(None, (day, clock)))
