"""Requests of Anthropic's API of messages, and the request of chat that each means.

In: the body of a request. Out: the same as a body of chat. Fields of Anthropic's that change nothing here are accepted
and ignored; what would make the answer another one is refused. Nothing here knows how an answer looks.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from plait.serve.api.anthropic.conversation import Conversation, SystemPrompt, to_messages
from plait.serve.api.generation_requests import (
    MAX_TOOLS,
    ChatCompletionRequest,
    JsonSchema,
    MaxTokens,
    ResponseFormat,
    Temperature,
)
from plait.serve.api.request_body import LenientPart, Refused, RequestBody, does_not_fit, only_types
from plait.serve.api.retrieval_options import RetrievalOptions
from plait.serve.api.tool_requests import (
    ArgumentsSchema,
    FunctionDefinition,
    NamedFunction,
    NamedTool,
    ToolChoice,
    ToolDefinition,
)

_NoObject = Annotated[dict[str, Any], Field(max_length=0)]
_NoServers = Annotated[list[dict[str, Any]], Field(max_length=0)] | None
_ONLY_FUNCTIONS = only_types(
    ("", "custom"),
    lambda kind: f"'{kind}' is a tool of Anthropic's own, which is not here; describe a function by its input_schema",
)


class ClientTool(LenientPart):
    """A function of the client's."""

    type: Literal["custom"] | None = None
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")
    description: str = ""
    input_schema: ArgumentsSchema

    def to_definition(self) -> ToolDefinition:
        function = FunctionDefinition(name=self.name, description=self.description, parameters=self.input_schema)
        return ToolDefinition(type="function", function=function)


class ToolUseChoice(LenientPart):
    """`any`: one of the tools must be called; `tool`: the one of this name."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False

    @model_validator(mode="after")
    def _has_its_name(self) -> Self:
        if self.type == "tool" and self.name is None:
            raise does_not_fit("name", "name is required with the type tool")
        return self

    def to_choice(self) -> ToolChoice:
        if self.type == "tool":
            return NamedTool(type="function", function=NamedFunction(name=self.name or ""))
        return "required" if self.type == "any" else self.type


class JsonOutput(LenientPart):
    model_config = ConfigDict(populate_by_name=True)

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")

    def to_format(self) -> ResponseFormat:
        return ResponseFormat(type="json_schema", json_schema=JsonSchema(json_schema=self.json_schema))


class OutputConfig(LenientPart):
    """`format`: the answer follows a JSON schema. `effort` is ignored."""

    effort: str | None = None
    format: JsonOutput | None = None


class CountTokensRequest(RequestBody):
    """What a model reads: a conversation, a system prompt and tools."""

    model: str
    messages: Conversation
    system: SystemPrompt | None = None
    tools: list[Annotated[ClientTool, _ONLY_FUNCTIONS]] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: ToolUseChoice | None = Field(None, description="auto where there are tools, else none.")
    output_config: OutputConfig | None = None

    cache_control: dict[str, Any] | None = Field(None, description="What prompts have in common is found without it.")
    context_management: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = Field(None, description="Ignored: an answer has no thinking blocks.")
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None
    mcp_servers: Annotated[_NoServers, Refused("no servers are asked here; offer their functions as tools")] = None

    _chat: ChatCompletionRequest = PrivateAttr()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        choice = self.tool_choice or ToolUseChoice(type="auto")
        names = [tool.name for tool in self.tools or ()]
        if choice.type in ("any", "tool") and not names:
            raise does_not_fit("tool_choice", "tool_choice needs tools")
        if choice.type == "tool" and choice.name not in names:
            raise does_not_fit("tool_choice", f"tool_choice names '{choice.name}', which is none of the tools")
        if self.is_begun and not self.messages[-1].is_text:
            raise does_not_fit("messages", "an assistant's last message is continued, and so it has text and no calls")
        self._chat = ChatCompletionRequest(**self._fields())  # here, so that what chat refuses is an error of the body
        return self

    @property
    def is_begun(self) -> bool:
        """Whether the answer goes on with what the assistant began to say."""
        return self.messages[-1].role == "assistant"

    @property
    def chat(self) -> ChatCompletionRequest:
        """The same request of chat."""
        return self._chat

    def _fields(self) -> dict[str, Any]:
        output = self.output_config.format if self.output_config else None
        choice = self.tool_choice or ToolUseChoice(type="auto")
        return {
            "model": self.model,
            "messages": to_messages(self.system, self.messages),
            "tools": [tool.to_definition() for tool in self.tools] if self.tools else None,
            "tool_choice": choice.to_choice(),
            "parallel_tool_calls": not choice.disable_parallel_tool_use,
            "response_format": output.to_format() if output else None,
            "continue_final_message": self.is_begun,
            "add_generation_prompt": not self.is_begun,
        }


class MessagesRequest(CountTokensRequest):
    """A conversation to answer."""

    max_tokens: MaxTokens
    temperature: Temperature = 1.0
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, le=2**31 - 1, description="Keeps this many of the likeliest tokens; 0 keeps all.")
    stop_sequences: list[Annotated[str, Field(min_length=1)]] | None = None
    stream: bool = False
    retrieval: RetrievalOptions | None = Field(None, description="How to retrieve; for models that begin with rag/.")

    diagnostics: dict[str, Any] | None = None
    inference_geo: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    container: Annotated[_NoObject | None, Refused("no code is run here")] = None
    thread: Annotated[None, Refused("no conversation is kept here; send all of its messages")] = None

    def _fields(self) -> dict[str, Any]:
        return super()._fields() | {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "stop": self.stop_sequences or None,
            "stream": self.stream,
            "retrieval": self.retrieval,
        }
