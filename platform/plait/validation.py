"""Pydantic's errors as sentences: which field, and what it must be.

In: the errors of one validation, and what was validated. Out: one problem, in words of whoever wrote the value.
Pydantic names a value of a union once for every type that it is not, with the type in its path
(`messages.0.content.list[TextPart].1.text`), and texts after what checks them (`function-after[…]`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

_KINDS = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object",
    "model": "an object",
    "none": "null",
}
_A_KIND = re.compile(rf"({'|'.join(_KINDS)})(_attributes)?_(type|parsing|from_float|parsing_size|required)")
DOES_NOT_FIT = "does_not_fit"
"""The type of an error of a field that does not fit the others, which may be because it is not there."""
NOT_SUPPORTED = "not_supported"
_OWN_CHECKS = ("value_error", "assertion_error", DOES_NOT_FIT, NOT_SUPPORTED)
_ERRORS_READ = 100  # a list of 50,000 wrong values has 50,000
_PREFIX = re.compile(r"^(Value error, |Assertion error, )")
_SHOULD = re.compile(r"^(Input|List|String|Tuple|Dictionary|Value) should ")


@dataclass(frozen=True)
class Problem:
    """`field`: the path of the value in what was given, as in `messages.0.content`; empty for the whole."""

    field: str
    what: str
    is_unknown: bool = False

    def __str__(self) -> str:
        if not self.field:
            return f"{self.what.rstrip('.')}."
        link = " " if self.what.startswith(("must ", "is ")) else " is not valid: "
        return f"The field '{self.field}'{link}{self.what.rstrip('.')}."


def first_problem(error: ValidationError | Sequence[Mapping[str, Any]], given: Any) -> Problem:
    """The first thing that is wrong with what was given; of a union, what comes closest to one of its types.

    `error`: of pydantic, or its errors() from the first one on. `given`: what was validated.
    """
    errors = error.errors() if isinstance(error, ValidationError) else error
    first = _path(errors[0], given)
    paths = [(_path(error, given), error) for error in errors[:_ERRORS_READ]]
    near = [(path, error) for path, error in paths if path[: len(first)] == first]
    beside = [(path, error) for path, error in paths if path[: len(first) - 1] == first[:-1]] if first[1:] else near
    # What a type's own check says is about a value that has the type's shape.
    own = next((path for path, error in beside if error["type"] in _OWN_CHECKS), None)
    deepest = own if own is not None else max((path for path, _ in near), key=len)
    near = near if own is None else beside
    at_it = [error for path, error in near if path == deepest and (own is None or error["type"] in _OWN_CHECKS)]
    phrases = list(dict.fromkeys(_phrase(error) for error in at_it))
    must = [phrase.removeprefix("must be ") for phrase in phrases if phrase.startswith("must be ")]
    others = [phrase for phrase in phrases if not phrase.startswith("must be ")]
    what = others[0] if others else f"must be {' or '.join(must)}"
    return Problem(".".join(deepest), what, is_unknown=at_it[0]["type"] == "extra_forbidden")


def _path(error: Mapping[str, Any], given: Any) -> tuple[str, ...]:
    """Where the value is in what was given: without the types that pydantic puts between."""
    path: list[str] = []
    location = list(error["loc"])
    for i, part in enumerate(location):
        is_last = i == len(location) - 1
        if isinstance(given, Mapping) and (part in given or (is_last and error["type"] in ("missing", DOES_NOT_FIT))):
            given = given.get(part)
        elif isinstance(given, list | tuple) and isinstance(part, int) and part < len(given):
            given = given[part]
        elif part != "[key]" and isinstance(given, Mapping) and str(part) in given:
            given = given[str(part)]
        else:
            continue  # a type, or a check
        path.append(str(part))
    return tuple(path)


def _phrase(error: Mapping[str, Any]) -> str:
    kind = _A_KIND.fullmatch(error["type"])
    if kind:
        return f"must be {_KINDS[kind[1]]}"
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "extra_forbidden":
        return "is not known or not supported"
    if error["type"] == "finite_number":
        return "must be a finite number"
    message = _PREFIX.sub("", str(error["msg"]))
    return _SHOULD.sub("must ", message).replace(" after validation, not ", ", not ")
