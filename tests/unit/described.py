"""Whether what the API answers is what its own description says."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from plait.serve.ingress import build_api


@cache
def description() -> dict[str, Any]:
    """What the API says of itself; to make it takes a second."""
    return build_api().openapi()


@cache
def strict_description() -> dict[str, Any]:
    """The description without room for what it does not name."""
    described: dict[str, Any] = strict(description())
    return described


def strict(value: Any) -> Any:
    """The same schemas, and no field beside those that they name."""
    if isinstance(value, dict):
        closed = {"additionalProperties": False} if value.get("type") == "object" and "properties" in value else {}
        return closed | {key: strict(item) for key, item in value.items()}
    return [strict(item) for item in value] if isinstance(value, list) else value


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema | {"components": document["components"]})
