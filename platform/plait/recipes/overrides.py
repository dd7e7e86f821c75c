"""`field.path=value` from a command line into nested mappings; the field's type says how the value is read.

Text stays as it was written (`tenant=007`, `table.id=on`); what is no text is YAML (`train.lr=1e-4`, `sources=[a, b]`).
Whether the field exists, and the value fits it, is not known here: the model that takes the mapping says so.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from plait.errors import RecipeError, first_line
from plait.recipes.yaml_text import parse_yaml
from plait.variants import types_of

_MISSING = ("null", "~", "")
"""What stands for text that is missing."""


def apply_override(
    values: dict[str, Any], override: str, kind: type[BaseModel], short: Mapping[str, str] | None = None
) -> None:
    """Set `key.path=value` in nested mappings.

    Args:
        values: they are changed.
        override: a value in quotes is the text between them; `null` for text that may be missing is no text.
        kind: the model that takes `values`.
        short: what short keys stand for.

    Raises:
        RecipeError: when it is no assignment, a parent of the key holds a value, or the value is not valid YAML.
    """
    key, is_assignment, text = override.partition("=")
    if not is_assignment or not key:
        raise RecipeError(f"'{override}' is no override.", "Write field=value, as in train.lr=1e-4.")
    *parents, last = (short or {}).get(key, key).split(".")
    section = values
    for parent in parents:
        if section.get(parent) is None:
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            raise RecipeError(f"'{key}' cannot be set: '{parent}' holds a value, not fields.")
    try:
        section[last] = _read(text, list(_types([kind], [*parents, last])))
    except yaml.YAMLError as error:
        raise RecipeError(f"The value of '{override}' is not valid YAML: {first_line(error)}.") from None


def _types(found: Sequence[Any], path: Sequence[str]) -> Iterator[Any]:
    """The types, without unions, that a field may have; none when there is no such field."""
    for each in found:
        origin = get_origin(each)
        if origin in (Union, types.UnionType, Annotated):
            inner = get_args(each)[:1] if origin is Annotated else get_args(each)
            yield from _types(inner, path)
        elif not path:
            yield each
        elif isinstance(each, type) and issubclass(each, BaseModel) and path[0] in each.model_fields:
            yield from _types(types_of(each.model_fields[path[0]]), path[1:])
        elif origin is dict:
            yield from _types([get_args(each)[1]], path[1:])


def _read(text: str, wanted: Sequence[Any]) -> Any:
    is_text = any(each is str or get_origin(each) is Literal for each in wanted)
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        if is_text:
            return text
        raise
    if isinstance(value, list):
        items = [item for each in wanted if get_origin(each) is list for item in _types(get_args(each), [])]
        if items and all(item is str for item in items):
            return parse_yaml(text, yaml.BaseLoader)  # all scalars as they are written
    if is_text and value is None and text not in _MISSING:  # a comment, an anchor or blanks: `#`, `&x`, ` `
        return text
    if not is_text or _fits(value, wanted):
        return value
    return value if isinstance(value, str) and text.strip()[:1] in ("'", '"') else text


def _fits(value: Any, wanted: Sequence[Any]) -> bool:
    """Whether a value that YAML does not read as text is of a type that the field may have, too."""
    if value is None:
        return type(None) in wanted
    choices = [one for each in wanted if get_origin(each) is Literal for one in get_args(each)]
    if any(type(one) is type(value) and one == value for one in choices):
        return True
    names = [get_origin(each) or each for each in wanted]
    if isinstance(value, dict):
        return any(each is dict or (isinstance(each, type) and issubclass(each, BaseModel)) for each in names)
    if isinstance(value, bool):
        return bool in names
    return (isinstance(value, int) and (int in names or float in names)) or any(
        type(value) is each for each in names if each is not str
    )
