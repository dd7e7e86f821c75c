"""Conditions in the language of another store, SQLite, in one function, for docs/extending.md."""

import json
from typing import Any

from plait.index.conditions import And, Compare, Condition, Contains, Equals, Exists, Field, Like, Not, OneOf, Or

Sql = tuple[str, list[Any]]
"""A condition with `?` for its values, and the values."""


def to_sql(condition: Condition) -> Sql:
    match condition:
        case Equals(field, value):
            return f"{_column(field)} = ?", [value]
        case OneOf(field, values):
            return f"{_column(field)} IN ({', '.join('?' * len(values))})", list(values)
        case Compare(field, operator, value):
            return f"{_column(field)} {operator} ?", [value]
        case Like(field, pattern):
            return rf"{_column(field)} LIKE ? ESCAPE '\'", [pattern]
        case Exists(field):
            return f"{_column(field)} IS NOT NULL", []
        case Contains(field, value):
            return f"EXISTS (SELECT 1 FROM json_each({_column(field)}) WHERE value = ?)", [value]
        case Not(part):
            text, values = to_sql(part)
            return f"NOT ({text})", values
        case And(parts) | Or(parts):
            written = [to_sql(part) for part in parts]
            word, nothing = (" AND ", "1") if isinstance(condition, And) else (" OR ", "0")
            text = word.join(f"({text})" for text, _ in written) or nothing
            return text, [value for _, values in written for value in values]


def _column(field: Field) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{json.dumps(part)}" for part in field.path)
    return f"json_extract({field.name}, '${path}')" if path else field.name
