"""Filters as users write them, in Milvus's language, whatever the store is.

In: a text such as `metadata["lang"] == "en" and not source like "old/%"`. Out: the condition that it says, on fields
of a chunk. What of the language the conditions do not have, as arithmetic, is refused.
"""

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken

from plait.errors import InvalidInput, did_you_mean
from plait.index.conditions import (
    EVERY_ROW,
    MAX_FILTER_CHARACTERS,
    NO_ROW,
    And,
    Compare,
    Condition,
    Contains,
    Equals,
    Exists,
    Field,
    Like,
    Not,
    OneOf,
    Operator,
    Or,
    Value,
    check_depth,
)
from plait.index.schema import JSON_FIELDS, NUMBER_FIELDS, TEXT_FIELDS

_GRAMMAR = r"""
?any: all | all (_OR all)+ -> or_
?all: negation | negation (_AND negation)+ -> and_
?negation: comparison | _NOT negation -> not_
?comparison: "(" any ")"
    | BOOLEAN -> constant
    | field OPERATOR value -> compare
    | value OPERATOR field -> compare_mirrored
    | value OPERATOR field OPERATOR value -> between
    | value OPERATOR value -> compare_values
    | field _LIKE string -> like
    | field _IN list -> one_of
    | field _NOT _IN list -> none_of
    | _EXISTS field -> exists
    | field _IS _NOT _NULL -> exists
    | field _IS _NULL -> is_null
    | _JSON_CONTAINS "(" field "," value ")" -> contains
    | _JSON_CONTAINS_ANY "(" field "," list ")" -> contains_any
    | _JSON_CONTAINS_ALL "(" field "," list ")" -> contains_all
field: NAME ("[" (string | INTEGER) "]")*
list: "[" [value ("," value)* ","?] "]"
?value: string | boolean | number
string: STRING
boolean: BOOLEAN
number: INTEGER | DECIMAL

_OR.2: /or\b|\|\|/i
_AND.2: /and\b|&&/i
_NOT.2: /not\b|!(?!=)/i
_LIKE.2: /like\b/i
_IN.2: /in\b/i
_IS.2: /is\b/i
_NULL.2: /null\b/i
_EXISTS.2: /exists\b/i
_JSON_CONTAINS.2: /json_contains\b/i
_JSON_CONTAINS_ANY.2: /json_contains_any\b/i
_JSON_CONTAINS_ALL.2: /json_contains_all\b/i
BOOLEAN.2: /(true|false)\b/i
OPERATOR: /==|!=|<=|>=|<|>/
NAME: /[a-z_][a-z_0-9]*/i
DECIMAL.1: /-?([0-9]+\.[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|-?[0-9]+e[+-]?[0-9]+/i
INTEGER: /-?[0-9]+/
STRING: /"([^"\\\r\n]|\\.)*"|'([^'\\\r\n]|\\.)*'/
%ignore /[ \t\r\n]+/
"""
_MAX_BITS = 63  # of an integer, besides its sign
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}  # every server reads these alike
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@lru_cache(maxsize=256)
def read_filter(text: str) -> Condition:
    """Read the condition that a filter says. Every row meets an empty filter.

    Raises:
        InvalidInput: when the filter is not valid; it says where and why.
    """
    if len(text) > MAX_FILTER_CHARACTERS:
        raise InvalidInput(f"The filter has {len(text)} characters.", f"Use {MAX_FILTER_CHARACTERS} at most.")
    text = unicodedata.normalize("NFC", text)  # as names and metadata are in an index
    if not text.strip():
        return EVERY_ROW
    try:
        condition = cast(Condition, _PARSER.parse(text))  # what its transformer makes of it
    except _Meaningless as error:
        raise _refused(text, error.at.start_pos or 0, error.why, error.remedy) from None
    except UnexpectedInput as error:
        raise _refused(text, *_place_and_reason(text, error)) from None
    check_depth(condition)
    return condition


class _Meaningless(Exception):
    """A filter that has the right form and says nothing. `at`: the name, value or sign at fault."""

    def __init__(self, at: Token, why: str, remedy: str = "") -> None:
        self.at, self.why, self.remedy = at, why, remedy


_Place = tuple[Field, Token]
_Literal = tuple[Value, Token]


@v_args(inline=True)
class _Conditions(Transformer[Token, Condition]):
    """What each rule of the grammar says."""

    def or_(self, *parts: Condition) -> Condition:
        return Or(parts)

    def and_(self, *parts: Condition) -> Condition:
        return And(parts)

    def not_(self, part: Condition) -> Condition:
        return Not(part)

    def constant(self, token: Token) -> Condition:
        return EVERY_ROW if token.lower() == "true" else NO_ROW

    def compare(self, place: _Place, sign: Token, literal: _Literal) -> Condition:
        field, value = place[0], _checked(place[0], literal)
        if sign == "==":
            return Equals(field, value)
        return Not(Equals(field, value)) if sign == "!=" else Compare(field, cast(Operator, str(sign)), value)

    def compare_mirrored(self, literal: _Literal, sign: Token, place: _Place) -> Condition:
        return self.compare(place, sign.update(value=_MIRRORED.get(sign, sign)), literal)

    def between(self, low: _Literal, first: Token, place: _Place, second: Token, high: _Literal) -> Condition:
        return And((self.compare_mirrored(low, first, place), self.compare(place, second, high)))

    def compare_values(self, left: _Literal, sign: Token, right: _Literal) -> Condition:
        if isinstance(left[0], str) != isinstance(right[0], str):
            raise _Meaningless(left[1], "a text and a number do not compare")
        return EVERY_ROW if _OPERATORS[sign](left[0], right[0]) else NO_ROW

    def like(self, place: _Place, pattern: _Literal) -> Condition:
        return Like(place[0], str(_checked(place[0], pattern)))

    def one_of(self, place: _Place, literals: Sequence[_Literal]) -> Condition:
        return OneOf(place[0], tuple(_checked(place[0], literal) for literal in literals))

    def none_of(self, place: _Place, literals: Sequence[_Literal]) -> Condition:
        return Not(self.one_of(place, literals))

    def exists(self, place: _Place) -> Condition:
        return Exists(_key(place))

    def is_null(self, place: _Place) -> Condition:
        return Not(self.exists(place))

    def contains(self, place: _Place, literal: _Literal) -> Condition:
        return Contains(_key(place), literal[0])

    def contains_any(self, place: _Place, literals: Sequence[_Literal]) -> Condition:
        return Or(tuple(self.contains(place, literal) for literal in literals))

    def contains_all(self, place: _Place, literals: Sequence[_Literal]) -> Condition:
        return And(tuple(self.contains(place, literal) for literal in literals))

    def field(self, name: Token, *path: "_Literal | Token") -> _Place:
        known = (*TEXT_FIELDS, *NUMBER_FIELDS, *JSON_FIELDS)
        if name not in known:
            raise _Meaningless(name, f"there is no field '{name}'", did_you_mean(name, known))
        if path and name not in JSON_FIELDS:
            raise _Meaningless(name, f"'{name}' has no keys")
        if not path and name in JSON_FIELDS:
            raise _Meaningless(name, f'a key is missing, as in {name}["lang"]')
        return Field(str(name), tuple(int(part) if isinstance(part, Token) else str(part[0]) for part in path)), name

    def list(self, *literals: _Literal | None) -> Sequence[_Literal]:
        return [literal for literal in literals if literal is not None]

    def string(self, token: Token) -> _Literal:
        for escape in _ESCAPE.finditer(token):
            if escape[1] not in _ESCAPED:
                at = token.update(value=escape[0])
                at.start_pos = (token.start_pos or 0) + escape.start()
                raise _Meaningless(at, r"""only \" \' \\ \n \r \t can follow a backslash""")
        return _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], token[1:-1]), token

    def boolean(self, token: Token) -> _Literal:
        return token.lower() == "true", token

    def number(self, token: Token) -> _Literal:
        value = int(token) if token.type == "INTEGER" else float(token)
        if not math.isfinite(value) or (isinstance(value, int) and value.bit_length() > _MAX_BITS):
            raise _Meaningless(token, "this number is too large")
        return value, token


def _key(place: _Place) -> Field:
    field, name = place
    if not field.path:
        raise _Meaningless(name, f"'{name}' always has one value, this is for keys of metadata")
    return field


def _checked(field: Field, literal: _Literal) -> Value:
    value, token = literal
    if field.name in TEXT_FIELDS and not isinstance(value, str):
        raise _Meaningless(token, f"'{field.name}' is a text")
    if field.name in NUMBER_FIELDS and isinstance(value, str | bool):
        raise _Meaningless(token, f"'{field.name}' is a number")
    return value


def _place_and_reason(text: str, error: UnexpectedInput) -> tuple[int, str]:
    match error:
        case UnexpectedToken() if error.token.type == "$END":
            return len(text), "its end is missing"
        case UnexpectedToken():
            return error.token.start_pos or 0, f"{str(error.token)!r} cannot stand here"
        case _:
            position = error.pos_in_stream or 0
            if text[position] in "\"'":
                return position, "this string does not end"
            return position, f"{text[position]!r} can stand only in a string"


def _refused(text: str, position: int, why: str, remedy: str = "") -> InvalidInput:
    return InvalidInput(
        f"The filter {text[:80]!r} is not valid at character {position + 1}: {why}.",
        remedy or """Write conditions such as metadata["lang"] == "en" and source like "guide/%".""",
    )


_PARSER = Lark(_GRAMMAR, start="any", parser="lalr", transformer=_Conditions())
