"""Tools as a request states them: functions with a JSON schema, and whether one must be called."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import Field, field_validator

from plait.errors import InvalidInput
from plait.models.tools import Tool
from plait.serve.api.request_body import LenientPart

_DRAFT_4 = "http://json-schema.org/draft-04/schema#"  # has id where later ones have $id


class FunctionDefinition(LenientPart):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of the arguments; none: any object.")
    strict: bool | None = Field(None, description="Ignored: what is forced follows its schema in any case.")

    @field_validator("parameters")
    @classmethod
    def _are_of_an_object(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        kind = schema.get("type", "object") if schema else "object"
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            raise ValueError(f"the type is {json.dumps(kind)[:80]}, and arguments are an object")
        return schema


class ToolDefinition(LenientPart):
    type: Literal["function"]
    function: FunctionDefinition

    def to_tool(self) -> Tool:
        schema = self.function.parameters or {"type": "object"}
        return Tool(self.function.name, self.function.description or "", json.dumps(schema, ensure_ascii=False))


class NamedFunction(LenientPart):
    name: str


class NamedTool(LenientPart):
    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["auto", "none", "required"] | NamedTool


def forced_call_schema(tools: Sequence[Tool]) -> str:
    """The JSON schema of a call of one of these functions.

    Each function's schema stays whole, as a resource of its own (JSON Schema's bundling, by `$id`): what it refers to,
    its own root included, is within it, whatever the others call theirs.

    Raises:
        InvalidInput: when two functions give one `$id` to different schemas.
    """
    schemas = [json.loads(tool.parameters) for tool in tools]
    _check_ids(tools, schemas)
    own = Counter(schema.get("$id") for schema in schemas)
    calls: list[dict[str, Any]] = []
    for i, (tool, schema) in enumerate(zip(tools, schemas, strict=True)):
        given = schema.get("$id")
        address = urljoin(f"https://tools.invalid/{i}/", given if own[given] == 1 and isinstance(given, str) else "")
        schema["$id"] = address
        if schema.get("$schema") == _DRAFT_4:
            schema["id"] = address
        if "$ref" in schema:  # up to draft 7 nothing counts beside it, an $id neither
            schema["allOf"] = [*schema.get("allOf", ()), {"$ref": schema.pop("$ref")}]
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": {"type": "object", "$ref": address}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    choice: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return json.dumps(choice | {"$defs": {str(i): schema for i, schema in enumerate(schemas)}}, ensure_ascii=False)


def _check_ids(tools: Sequence[Tool], schemas: Sequence[dict[str, Any]]) -> None:
    seen: dict[str, Any] = {}
    for tool, schema in zip(tools, schemas, strict=True):
        pending: list[Any] = list(schema.values())  # what is at the root gets another where it is not the only one
        while pending:
            value = pending.pop()
            if isinstance(value, list):
                pending += value
            if not isinstance(value, dict):
                continue
            pending += value.values()
            identifier = value.get("$id")
            if not isinstance(identifier, str) or not urlsplit(identifier).scheme:
                continue  # what is relative is within the function's own
            if seen.setdefault(identifier, value) != value:
                raise InvalidInput(
                    f"The parameters of '{tool.name}' have the $id '{identifier[:200]}', which another schema has too.",
                    "Leave $id out, or give each schema its own.",
                )
