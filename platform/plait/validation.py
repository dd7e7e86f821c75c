"""Pydantic's errors as sentences: which field, and what it must be.

In: the errors of one validation, and what was validated. Out: one problem, in words of whoever wrote the value.
Pydantic names a value of a union once for every type that it is not, with the type in its path
(`messages.0.content.list[TextPart].1.text`), and texts after what checks them (`function-after[…]`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from plait.errors import RecipeError, did_you_mean, first_line
from plait.section import Section
from plait.variants import discriminator_of, types_of

S = TypeVar("S", bound=Section)

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
    """What is wrong with a value.

    Attributes:
        field: the path of the value in what was given, as in `messages.0.content`; empty for the whole.
        location: the same as pydantic says it, with the names of types.
        value: what stands there, where that is wrong by itself and one text, number or truth.
        known: the names of which it must be one, where it is none.
    """

    field: str
    what: str
    location: tuple[int | str, ...] = ()
    is_unknown: bool = False
    value: str | float | None = None
    known: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.field:
            return f"{self.what.rstrip('.')}."
        link = " " if self.what.startswith(("must ", "is ")) else " is not valid: "
        return f"The field '{self.field}'{link}{self.what.rstrip('.')}."


def validated(kind: type[S], values: Mapping[str, Any], whole: str, remedy: str) -> S:
    """The section that a user wrote; `whole`: what to call it, as in "Recipe 'qlora'".

    Raises:
        RecipeError: names every bad field and, for an unknown one, the nearest that there is.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        alike: dict[tuple[str, ...], list[Any]] = {}
        for each in error.errors():
            alike.setdefault(_path(each, values), []).append(each)
        problems = [first_problem(errors, values) for errors in alike.values()]
        told = [" ".join(filter(None, (str(each), _hint(kind, each)))) for each in problems]
        link = "." if problems[0].field else ":"
        raise RecipeError(f"{whole} is not valid{link} {' '.join(told)}", remedy) from None


def why_unreadable(error: Exception) -> str:
    """Why a file of state cannot be read, for the brackets of a sentence; it quotes no value of the file."""
    return (str(first_problem(error)) if isinstance(error, ValidationError) else first_line(error)).rstrip(".")


def first_problem(error: ValidationError | Sequence[Mapping[str, Any]], given: Any = None) -> Problem:
    """The first thing that is wrong with what was given; of a union, what comes closest to one of its types.

    Args:
        error: of pydantic, or its errors() from the first one on.
        given: what was validated; None: it is not at hand, and paths keep the names of types.
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
    is_unknown = at_it[0]["type"] == "extra_forbidden"
    value, known = _value_of(at_it[0])
    return Problem(".".join(deepest), what, at_it[0]["loc"], is_unknown, value, known)


def _value_of(error: Mapping[str, Any]) -> tuple[str | float | None, tuple[str, ...]]:
    """What stands at the place of an error, and the names of which it must be one."""
    if error["type"] in ("missing", "extra_forbidden", *_OWN_CHECKS):
        return None, ()
    if error["type"] == "union_tag_invalid":
        return error["ctx"]["tag"], tuple(re.findall("'(.*?)'", error["ctx"]["expected_tags"]))
    return (error["input"] if isinstance(error["input"], str | int | float) else None), ()


def _path(error: Mapping[str, Any], given: Any) -> tuple[str, ...]:
    """Where the value is in what was given: without the types that pydantic puts between."""
    if given is None:
        return tuple(map(str, error["loc"]))
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
    if error["type"] == "union_tag_invalid":
        path.append(error["ctx"]["discriminator"].strip("'"))
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
    if error["type"] == "union_tag_invalid":
        return f"must be {' or '.join(error['ctx']['expected_tags'].rsplit(', ', 1))}"
    message = _PREFIX.sub("", str(error["msg"]))
    return _SHOULD.sub("must ", message).replace(" after validation, not ", ", not ")


def _hint(kind: type[Section], problem: Problem) -> str:
    """What helps whoever wrote the value: which it is, after YAML and the shell have read it, and what is like it."""
    if problem.is_unknown:
        return _nearest_field(kind, problem)
    if problem.known:
        return f"It is {problem.value!r}. {did_you_mean(str(problem.value), problem.known)}"
    return "" if problem.value is None else f"It is {problem.value!r}."


def _nearest_field(kind: type[Section], unknown: Problem) -> str:
    """A hint: the same name in another section, else the nearest name in this section, else what it holds."""
    known = _field_paths(kind, unknown.location)
    section, _, name = unknown.field.rpartition(".")
    namesakes = [path for path in known if path.rpartition(".")[2] == name]
    siblings = [path for path in known if path.rpartition(".")[0] == section]
    if namesakes:
        return f"Did you mean {' or '.join(map(repr, namesakes))}?"
    return did_you_mean(unknown.field, siblings)


def _field_paths(kind: type[BaseModel], location: Sequence[int | str], prefix: str = "") -> list[str]:
    """Every field of a section, dotted (train.lr, data.context.top_k, …); of variants in `location`, those chosen."""
    paths: list[str] = []
    for name, field in kind.model_fields.items():
        paths.append(prefix + name)
        discriminator = discriminator_of(field)
        for candidate in (part for each in types_of(field) for part in (each, *getattr(each, "__args__", ()))):
            if not (isinstance(candidate, type) and issubclass(candidate, BaseModel)):
                continue
            tags = get_args(candidate.model_fields[discriminator].annotation) if discriminator else ()
            if tags and name in location and not {*tags} & {*location}:
                continue
            paths += _field_paths(candidate, location, f"{prefix}{name}.")
    return list(dict.fromkeys(paths))
