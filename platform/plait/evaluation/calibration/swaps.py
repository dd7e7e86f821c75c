"""Wrong answers that look right: an answer whose number, version or name is another document's.

A whole short answer is swapped for another's of the same form; of a long one, its first number, version or name. The
form of `2.60.0` is `9.9.9`, of `Apache-2.0` it is `A-9.9`: a judge that looks at the form alone is not helped. What
stands in the question's own passage, or is one of its answers, is never taken.
"""

import random
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from plait.evaluation.answers import is_correct, tokens
from plait.evaluation.calibration.material import Material

_SHORT_WORDS = 5
"""An answer of at most so many words is a name, a number or a phrase, not a sentence."""

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z]\w*(?:[ -][A-Z]\w*)*")


def is_short(answer: str) -> bool:
    """Whether an answer is no sentence of its own."""
    return len(answer.split()) <= _SHORT_WORDS


def swapped(material: Material, others: Sequence[Material], random_: random.Random) -> str | None:
    """A wrong answer made with what another document says; None where nothing fits.

    Args:
        others: material of other questions; only other documents are taken from.
    """
    elsewhere = [other for other in others if other.answers and other.source != material.source]
    random_.shuffle(elsewhere)
    answer = material.answer
    if is_short(answer):
        # A number for a name is no mistake that a model makes, unless the question is of one kind: MIT, Apache-2.0.
        fitting = [other for other in elsewhere if is_short(other.answer) and _may_be_mistaken(other, material)]
        # The likeliest mistake first; sorting keeps the random order of equals.
        fitting.sort(key=lambda other: (other.kind != material.kind, form(other.answer) != form(answer)))
        return next((other.answer for other in fitting if _is_wrong(other.answer, material)), None)
    for pattern in (_NUMBER, _NAME):
        for mine in pattern.finditer(answer):
            for theirs in _alike(mine.group(), pattern, elsewhere):
                wrong = answer[: mine.start()] + theirs + answer[mine.end() :]
                if _is_wrong(theirs, material) and _is_wrong(wrong, material):
                    return wrong
    return None


@lru_cache(1 << 16)
def form(text: str) -> str:
    """A text with an A for each run of letters and a 9 for each run of digits.

    >>> form("Apache-2.0")
    'A-9.9'
    """
    return re.sub(r"[^\W\d_]+", "A", re.sub(r"\d+", "9", text))


def _alike(mine: str, pattern: re.Pattern[str], others: Sequence[Material]) -> Iterator[str]:
    """What other documents have of the same form, the answers before the passages."""
    for text in (*(other.answer for other in others), *(other.passage for other in others)):
        for found in pattern.finditer(text):
            if form(found.group()) == form(mine) and found.group() != mine:
                yield found.group()


def _is_wrong(text: str, material: Material) -> bool:
    """Whether neither the passage nor an answer says so, nor an answer stands in it."""
    if not tokens(text) or is_correct(material.passage, text) or is_correct(material.question, text):
        return False
    return not any(is_correct(text, answer) or is_correct(answer, text) for answer in material.answers)


def _may_be_mistaken(other: Material, material: Material) -> bool:
    is_of_a_kind = bool(material.kind) and other.kind == material.kind
    return is_of_a_kind or _has_digit(other.answer) == _has_digit(material.answer)


@lru_cache(1 << 16)
def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
