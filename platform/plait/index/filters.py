"""Conditions in Milvus's filter language.

In: fields and values of any content, and conditions that a caller wrote. Out: filter expressions in which a value can
be nothing but a value, and a caller's condition nothing but a narrowing of one tenant's rows. They are written with
quoted literals, because the embedded server does not know filter templates.
"""

import string
import unicodedata
from collections.abc import Iterator, Sequence

from plait.errors import InvalidInput

MAX_FILTER_CHARACTERS = 2_000
_MAX_DEPTH = 32  # servers parse by recursion
_NAMES_IN_FILTER = 200  # keeps a filter far below Milvus's limit on the length of an expression
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})
_KNOWN_ESCAPES = frozenset("\\\"'nrt")  # those that every server reads alike
_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_")
_OUTSIDE_STRINGS = _NAME_CHARACTERS | frozenset(" \t\r\n,.=<>!&|+-*/%$")
_CLOSERS = {"(": ")", "[": "]"}


def equals(field: str, value: str) -> str:
    """`field == "value"`"""
    return f"{field} == {quote(value)}"


def is_one_of(field: str, values: Sequence[str]) -> str:
    """`field in ["one", "two"]`"""
    return f"{field} in [{', '.join(map(quote, values))}]"


def quote(value: str) -> str:
    """A string literal. Only what must be is escaped: the servers know different escapes."""
    return f'"{value.translate(_ESCAPES)}"'


def in_pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many names at a time as one filter may hold."""
    for start in range(0, len(names), _NAMES_IN_FILTER):
        yield names[start : start + _NAMES_IN_FILTER]


def within_tenant(tenant: str, condition: str = "") -> str:
    """A caller's condition, true for no row of another tenant; without one, all rows of the tenant.

    The condition stands in brackets that it cannot close, so `or`, `not` and the like reach only inside them.

    Raises:
        InvalidInput: for a condition whose brackets or quotes are not closed, or that has what no filter needs.
    """
    own = equals("tenant", tenant)
    if not condition.strip():
        return own
    condition = unicodedata.normalize("NFC", condition)  # as names and metadata are in an index
    _check_is_closed(condition)
    return f"{own} and ({condition})"


def _check_is_closed(condition: str) -> None:
    if len(condition) > MAX_FILTER_CHARACTERS:
        raise InvalidInput(f"The filter has {len(condition)} characters.", f"Use {MAX_FILTER_CHARACTERS} at most.")
    expected: list[str] = []
    position = 0
    while position < len(condition):
        character = condition[position]
        if character in "\"'":
            if position and condition[position - 1] in _NAME_CHARACTERS:
                raise _refused(condition, position, "a string cannot follow a name directly")  # r"\" ends elsewhere
            position = _end_of_string(condition, position)
        elif character in _CLOSERS:
            expected.append(_CLOSERS[character])
            if len(expected) > _MAX_DEPTH:
                raise InvalidInput("The filter is nested too deeply.", f"Use {_MAX_DEPTH} levels at most.")
        elif character in _CLOSERS.values():
            if not expected or expected.pop() != character:
                raise _refused(condition, position, f"this '{character}' closes nothing")
        elif character not in _OUTSIDE_STRINGS:
            raise _refused(condition, position, f"{character!r} can stand only in a string")
        position += 1
    if expected:
        raise _refused(condition, len(condition), f"a '{expected[-1]}' is missing")


def _end_of_string(condition: str, start: int) -> int:
    position = start + 1
    while position < len(condition):
        character = condition[position]
        if character == condition[start]:
            return position
        if character == "\\":
            position += 1
            if condition[position : position + 1] not in _KNOWN_ESCAPES:
                raise _refused(condition, position - 1, r"""only \" \' \\ \n \r \t can follow a backslash""")
        elif character in "\r\n":
            break
        position += 1
    raise _refused(condition, start, "this string does not end")


def _refused(condition: str, position: int, why: str) -> InvalidInput:
    return InvalidInput(
        f"The filter {condition[:80]!r} is not valid at character {position + 1}: {why}.",
        """Write conditions such as metadata["lang"] == "en" and source like "guide/%".""",
    )
