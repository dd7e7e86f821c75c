"""Tools as a request states them: functions with a JSON schema, and whether one must be called."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import AfterValidator, Field

from plait.errors import InvalidInput
from plait.models.tools import Tool
from plait.serve.api.request_body import LenientPart

_DRAFT_4 = "http://json-schema.org/draft-04/schema#"  # has id where later ones have $id


def _is_of_an_object(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise ValueError(f"the type is {json.dumps(kind)[:80]}, and arguments are an object")
    return schema


ArgumentsSchema = Annotated[dict[str, Any], AfterValidator(_is_of_an_object)]
"""A JSON schema of the arguments of a function."""


class FunctionDefinition(LenientPart):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")  # Anthropic's; OpenAI's are half as long
    description: str | None = None
    parameters: ArgumentsSchema | None = Field(None, description="JSON schema of the arguments; none: any object.")
    strict: bool | None = Field(None, description="Ignored: what is forced follows its schema in any case.")


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


def schema_to_follow(
    tools: Sequence[Tool], answer: str | None, *, must_call: bool, only: str | None, is_parallel: bool
) -> str | None:
    """The JSON schema of the answer to a request that offers tools.

    Args:
        tools: what may be called.
        answer: the schema of an answer that is no call; None: it is free text.
        must_call: whether the answer must be a call.
        only: the one function that it must call.
        is_parallel: whether there may be several calls.

    Raises:
        InvalidInput: when the schemas do not go together.
    """
    if must_call:
        return forced_call_schema([tool for tool in tools if only in (None, tool.name)])
    return call_or_answer_schema(tools, answer, is_parallel) if tools and answer is not None else answer


def forced_call_schema(tools: Sequence[Tool]) -> str:
    """The JSON schema of a call of one of these functions.

    Each function's schema stays whole, as a resource of its own (JSON Schema's bundling, by `$id`): what it refers to,
    its own root included, is within it, whatever the others call theirs.

    Raises:
        InvalidInput: when two functions give one `$id` to different schemas, or one that is no address.
    """
    calls, schemas = _calls(tools, [])
    choice: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return json.dumps(choice | {"$defs": schemas}, ensure_ascii=False)


def call_or_answer_schema(tools: Sequence[Tool], answer: str, is_parallel: bool) -> str:
    """The JSON schema of a call of one of these functions, or of an answer that follows a schema itself.

    `is_parallel`: whether there may be several calls, in a list.

    Raises:
        InvalidInput: when two of the schemas have one `$id`, and are not the same, or one that is no address.
    """
    calls, schemas = _calls(tools, [("The schema of response_format has", json.loads(answer))])
    address = schemas[str(len(tools))]["$id"]
    several = [{"type": "array", "items": {"$ref": "#/$defs/call"}, "minItems": 1}] if is_parallel else []
    choice = [{"$ref": "#/$defs/call"}, *several, {"$ref": address}]
    return json.dumps({"anyOf": choice, "$defs": schemas | {"call": {"anyOf": calls}}}, ensure_ascii=False)


def _calls(
    tools: Sequence[Tool], others: Sequence[tuple[str, dict[str, Any]]]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schema of a call of each function, and what they refer to: all schemas by number, those of others last."""
    named = [(f"The parameters of '{tool.name}' have", json.loads(tool.parameters)) for tool in tools] + list(others)
    _check_ids(named)
    own = Counter(schema.get("$id") for _, schema in named)
    for i, (_, schema) in enumerate(named):
        given = schema.get("$id")
        is_own = isinstance(given, str) and own[given] == 1
        schema["$id"] = urljoin(f"https://tools.invalid/{i}/", given if is_own else "")
        if schema.get("$schema") == _DRAFT_4:
            schema["id"] = schema["$id"]
        if "$ref" in schema:  # up to draft 7 nothing counts beside it, an $id neither
            schema["allOf"] = [*schema.get("allOf", ()), {"$ref": schema.pop("$ref")}]
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": {"type": "object", "$ref": schema["$id"]}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool, (_, schema) in zip(tools, named, strict=False)
    ]
    return calls, {str(i): schema for i, (_, schema) in enumerate(named)}


def _check_ids(named: Sequence[tuple[str, dict[str, Any]]]) -> None:
    seen: dict[str, Any] = {}
    for what, schema in named:
        if not isinstance(schema.get("$id"), str | None):
            raise InvalidInput(f"{what} an $id that is no text.", "Leave $id out, or give a URL.")
        if "$ref" in schema and not isinstance(schema.get("allOf", []), list):
            raise InvalidInput(f"{what} an allOf that is no list.", "Give a list of schemas.")
        _check_address(what, schema.get("$id") or "")
        pending: list[Any] = list(schema.values())  # what is at the root gets another where it is not the only one
        while pending:
            value = pending.pop()
            if isinstance(value, list):
                pending += value
            if not isinstance(value, dict):
                continue
            pending += value.values()
            identifier = value.get("$id")
            if not isinstance(identifier, str) or not _check_address(what, identifier):
                continue  # what is relative is within the function's own
            if seen.setdefault(identifier, value) != value:
                raise InvalidInput(
                    f"{what} the $id '{identifier[:200]}', which another schema has too.",
                    "Leave $id out, or give each schema its own.",
                )


def _check_address(what: str, identifier: str) -> bool:
    """Whether it is a whole URL, and no relative one; refuses what is none."""
    try:
        urljoin("https://tools.invalid/", identifier)
        return bool(urlsplit(identifier).scheme)
    except ValueError:
        raise InvalidInput(
            f"{what} the $id '{identifier[:200]}', which is no URL.", "Leave $id out, or give a URL."
        ) from None
