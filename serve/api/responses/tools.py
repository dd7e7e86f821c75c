"""Tools as a response's request states them: functions, and the search in vector stores.

In: tools in OpenAI's flat shape. Out: chat's tools, and how to retrieve. Nothing here runs a function or searches.
"""

from typing import Annotated, Literal

from pydantic import Field

from plait.retrieval.request import MAX_COLLECTIONS
from plait.serve.api.request_body import LenientPart, only_types
from plait.serve.api.store_search import StoreSearch
from plait.serve.api.tool_requests import FunctionDefinition, ToolDefinition


class FunctionTool(FunctionDefinition):
    type: Literal["function"]

    def definition(self) -> ToolDefinition:
        fields = {name: getattr(self, name) for name in FunctionDefinition.model_fields}
        return ToolDefinition(type="function", function=FunctionDefinition(**fields))


class FileSearchTool(StoreSearch):
    """Answer from passages of vector stores, which are searched once."""

    type: Literal["file_search"]
    vector_store_ids: list[str] = Field(min_length=1, max_length=MAX_COLLECTIONS)


ResponseTool = Annotated[
    FunctionTool | FileSearchTool,
    Field(discriminator="type"),
    only_types(
        ("function", "file_search"), lambda kind: f"the tool '{kind}' is not supported; function and file_search are"
    ),
]


class NamedFunctionChoice(LenientPart):
    type: Literal["function"]
    name: str


class FileSearchChoice(LenientPart):
    type: Literal["file_search"]


class AllowedTools(LenientPart):
    """Some of the tools, as if the others were not there."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedFunctionChoice | FileSearchChoice] = Field(min_length=1)


ResponseToolChoice = Literal["auto", "none", "required"] | NamedFunctionChoice | FileSearchChoice | AllowedTools
