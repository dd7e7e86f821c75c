"""Tools as a request states them: functions with a JSON schema, and whether one must be called."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from plait.models.tools import Tool
from plait.serve.api.request_body import LenientPart


class FunctionDefinition(LenientPart):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of the arguments; none: any object.")
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


def forced_call_schema(tools: Sequence[Tool]) -> str:
    """The JSON schema of a call of one of these functions."""
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for tool in tools:
        arguments = json.loads(tool.parameters)
        # References in a schema start at its root, which is another now.
        definitions |= arguments.pop("$defs", {})
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return json.dumps(schema | ({"$defs": definitions} if definitions else {}), ensure_ascii=False)
