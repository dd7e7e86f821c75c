"""What a JSON body may hold: text that is Unicode, numbers that are finite, no more values and levels than allowed.

In: the bytes of a body. Out: nothing, or the field at fault. It stands before every route, because what it refuses is
not for a route to know: Python's JSON reads NaN, 1e400 and halves of characters, which no store, tokenizer or answer
takes. A text that is no JSON passes: whoever parses it says so.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from plait.errors import InvalidField, InvalidInput, TooLarge

_MAX_DEPTH = 100  # JSON schemas of real tools have 10 to 20; whatever reads a body by recursion can do some hundreds
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # as text they come to be through an escape only
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_json(body: bytes, max_values: int) -> None:
    """Refuse a JSON body that no route can take.

    Raises:
        InvalidField: for half a character, a number that is not finite or has more than 64 bits; names the field.
        InvalidInput: for bytes that are not UTF-8, or too many levels.
        TooLarge: for more values than `max_values`.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The body is not UTF-8 (byte {error.start}).", "Send JSON in UTF-8.") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # of Python's own limit on the digits of a number
        raise InvalidInput(
            "The body has a number of thousands of digits.", "Send numbers of 64 bits at most."
        ) from None
    try:
        _Check(max_values, has_escapes=_ESCAPED_SURROGATE.search(body) is not None).check(value, 0)
    except _Fault as fault:
        field = ".".join(reversed(fault.path))
        where = f"The field '{field[:200]}'" if field else "The body"
        raise InvalidField(f"{where} {fault.what}", fault.remedy, field) from None


class _Fault(Exception):
    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy
        self.path: list[str] = []
        """From the value up to the body."""


class _Check:
    def __init__(self, max_values: int, has_escapes: bool) -> None:
        self._max_values, self._has_escapes = max_values, has_escapes
        self._values = 0

    def check(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind is str:
            self._check_text(value)
        elif kind is float:
            if not math.isfinite(value):
                raise _Fault("is not a finite number.", "JSON has no NaN and no Infinity; leave the field out.")
        elif kind is int:
            if not _MIN_INTEGER <= value <= _MAX_INTEGER:
                raise _Fault("is a number of more than 64 bits.", "Send a smaller one.")
        elif kind is list or kind is dict:
            self._check_items(value, depth)

    def _check_items(self, items: list[Any] | dict[str, Any], depth: int) -> None:
        self._values += len(items)
        if self._values > self._max_values:
            raise TooLarge(
                f"The body has more than {self._max_values:,} values.", "Send several requests with fewer each."
            )
        if depth == _MAX_DEPTH:
            raise _too_deep()
        pairs: Iterable[tuple[int | str, Any]] = items.items() if isinstance(items, dict) else enumerate(items)
        for name, item in pairs:
            try:
                if isinstance(name, str):
                    self._check_text(name)
                self.check(item, depth + 1)
            except _Fault as fault:
                fault.path.append(_SURROGATE.sub("\ufffd", str(name)))
                raise

    def _check_text(self, text: str) -> None:
        if self._has_escapes and _SURROGATE.search(text):
            raise _Fault(
                "holds half a character (a lone surrogate, such as \\ud83d).",
                "Cut texts between characters, not between UTF-16 units.",
            )


def _too_deep() -> InvalidInput:
    return InvalidInput("The body is nested too deeply.", f"Use {_MAX_DEPTH} levels at most.")
