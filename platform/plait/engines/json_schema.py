"""What a JSON schema may be before anything is made of it: not too long, not too deep, without mere annotations.

In: a schema as text. Out: one that llguidance reads, which means the same. What `format` and `uniqueItems` say where
they change no answer is left out; llguidance would refuse it.
"""

import json
from collections.abc import Callable
from typing import Any

from plait.errors import InvalidInput

_MAX_CHARACTERS = 256 * 1024
"""Of a schema: 10,000 values of an `enum` have about 200,000."""
MAX_NESTING = 100
"""Objects and arrays inside each other; llguidance reads 128, and a tool's schema is put into another."""
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_IN_ORDER = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLE = (
    *("items", "additionalItems", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties"),
)


def check_nesting(value: Any) -> None:
    """Refuse JSON in which objects and arrays lie too deep inside each other to be walked through.

    Raises:
        InvalidInput: with the limit.
    """
    level = [value]
    for _ in range(MAX_NESTING):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return
    raise InvalidInput(f"The JSON schema is nested deeper than {MAX_NESTING} levels.", "Make it flatter.")


def without_annotations(schema: str, knows_format: Callable[[str], bool]) -> str:
    """The same schema without what says nothing about an answer: `uniqueItems: false`, formats that nobody knows.

    Raises:
        InvalidInput: for a schema that is too long, too deep, or no JSON.
    """
    if len(schema) > _MAX_CHARACTERS:
        raise InvalidInput(
            f"The JSON schema has {len(schema)} characters; at most {_MAX_CHARACTERS} are taken.", "Make it shorter."
        )
    try:
        read = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The JSON schema cannot be followed: it is no JSON ({str(error)[:100]}).") from error
    check_nesting(read)
    return json.dumps(_walked(read, knows_format), ensure_ascii=False)


def _walked(schema: Any, knows_format: Callable[[str], bool]) -> Any:
    """Only where schemas stand: a property may be called `format`, and a value of an `enum` may have that key."""
    if not isinstance(schema, dict):
        return schema
    # x-guidance would set llguidance's options, which are ours to set.
    kept = {name: value for name, value in schema.items() if name != "x-guidance"}
    if kept.get("uniqueItems") is False:
        del kept["uniqueItems"]
    if isinstance(form := kept.get("format"), str) and not knows_format(form):
        del kept["format"]
    for name, value in kept.items():
        if name in _BY_NAME and isinstance(value, dict):
            kept[name] = {key: _walked(inner, knows_format) for key, inner in value.items()}
        elif name in _IN_ORDER and isinstance(value, list):
            kept[name] = [_walked(inner, knows_format) for inner in value]
        elif name in _SINGLE:
            kept[name] = _walked(value, knows_format)
    return kept


def _inside(value: dict[str, Any] | list[Any]) -> Any:
    return value.values() if isinstance(value, dict) else value
