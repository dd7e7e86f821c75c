"""Conditions in Milvus's filter language.

In: a condition. Out: an expression in which a value can be nothing but a value. It is written with quoted literals,
because the embedded server does not know filter templates.
"""

import json

from plait.index.conditions import (
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
    Or,
    Value,
)

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


def expression(condition: Condition) -> str:
    """Write a condition. The one that every row meets is empty."""
    written = _written(condition)
    if isinstance(written, bool):
        return "" if written else "false"
    return written


def _written(condition: Condition) -> str | bool:
    """The condition, or whether it is met by every row or by none: servers refuse most constants."""
    match condition:
        case Equals(field, value):
            return f"{_name(field)} == {_literal(value)}"
        case Compare(field, operator, value):
            return f"{_name(field)} {operator} {_literal(value)}"
        case Like(field, pattern):
            return f"{_name(field)} like {_literal(pattern)}"
        case Exists(field):
            return f"exists {_name(field)}"
        case Contains(field, value):
            return f"json_contains({_name(field)}, {_literal(value)})"
        case OneOf(field, values):
            if field.path:  # the embedded server knows no `in` for keys of JSON
                return _written(Or(tuple(Equals(field, value) for value in values)))
            return f"{_name(field)} in [{', '.join(map(_literal, values))}]" if values else False
        case Not(part):
            written = _written(part)
            return not written if isinstance(written, bool) else f"not ({written})"
        case And(parts):
            return _joined("and", parts, neutral=True)
        case Or(parts):
            return _joined("or", parts, neutral=False)


def _joined(word: str, parts: tuple[Condition, ...], neutral: bool) -> str | bool:
    """The parts, but for those that change nothing; `neutral`: what these are."""
    written = [part for part in map(_written, parts) if part is not neutral]
    texts = [part for part in written if isinstance(part, str)]
    if len(texts) < len(written):
        return not neutral
    if len(texts) > 1:
        return f" {word} ".join(f"({text})" for text in texts)
    return texts[0] if texts else neutral


def _name(field: Field) -> str:
    return field.name + "".join(f"[{_literal(part)}]" for part in field.path)


def _literal(value: Value) -> str:
    """Only what must be is escaped: the servers know different escapes."""
    return f'"{value.translate(_ESCAPES)}"' if isinstance(value, str) else json.dumps(value)
