"""Conditions on the rows of a collection: a tree that every store writes in its own language.

In: fields and values of any content. Out: a tree that says which rows are meant. What users write is read into it
(plait.index.filters, plait.serve.api.attribute_filters). It knows no store, and it keeps no tenants apart: stores do
that below it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from plait.errors import InvalidInput

MAX_FILTER_CHARACTERS = 2_000
"""Of a filter that a user writes."""
MAX_DEPTH = 32  # servers parse by recursion
_MAX_VALUES = 200  # keeps a condition far below the limits of servers on its length

Value = str | bool | int | float
Operator = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True)
class Field:
    """A field of a row. `path` leads to a value within a JSON field: keys of objects and places in lists."""

    name: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Equals:
    """The field has this value, of the same type: 1 equals neither "1" nor true."""

    field: Field
    value: Value


@dataclass(frozen=True)
class OneOf:
    """The field has one of these values. Without values, no row meets it."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Compare:
    """The field comes before or after a value of its type."""

    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Like:
    r"""The text matches a pattern of SQL: `%` is any text, `_` any character, `\` takes the next one as it is."""

    field: Field
    pattern: str


@dataclass(frozen=True)
class Exists:
    """The row has a value there that is not null."""

    field: Field


@dataclass(frozen=True)
class Contains:
    """The list there holds this value."""

    field: Field
    value: Value


@dataclass(frozen=True)
class And:
    """The row meets all of these. Every row meets `And(())`."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Or:
    """The row meets at least one of these. No row meets `Or(())`."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Not:
    """The row does not meet this.

    What is compared with a key that the row does not have is neither met nor not met; add `Not(Exists(…))` to find
    such rows too.
    """

    condition: "Condition"


Condition = Equals | OneOf | Compare | Like | Exists | Contains | And | Or | Not

EVERY_ROW = And(())
NO_ROW = Or(())


def one_of_each(field: Field, values: Iterable[str]) -> Iterator[OneOf]:
    """Conditions for any number of values, as many at a time as one condition may hold."""
    distinct = sorted(set(values))
    for start in range(0, len(distinct), _MAX_VALUES):
        yield OneOf(field, tuple(distinct[start : start + _MAX_VALUES]))


def check_depth(condition: Condition) -> None:
    """Refuse a tree that is deeper than stores can follow.

    Raises:
        InvalidInput: when it is.
    """
    level: list[Condition] = [condition]
    for _ in range(MAX_DEPTH + 1):
        level = [part for one in level for part in _parts(one)]
        if not level:
            return
    raise InvalidInput("The filter is nested too deeply.", f"Use {MAX_DEPTH} levels at most.")


def _parts(condition: Condition) -> "tuple[Condition, ...]":
    match condition:
        case And(parts) | Or(parts):
            return parts
        case Not(part):
            return (part,)
        case _:
            return ()
