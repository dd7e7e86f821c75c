"""Conditions in Milvus's filter language.

In: fields and values of any content. Out: filter expressions in which a value can be nothing but a value. They are
written with quoted literals, because the embedded server does not know filter templates.
"""

from collections.abc import Iterator, Sequence

_NAMES_IN_FILTER = 200  # keeps a filter far below Milvus's limit on the length of an expression
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


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
