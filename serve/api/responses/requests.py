"""The body of POST /v1/responses, and the request of chat that it means.

In: OpenAI's request for a response, and the conversation before it. Out: a request of chat, and the fields that the
response repeats. This module does not know where conversations are kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from plait.engines.engine import MAX_LOGPROBS
from plait.errors import InvalidField
from plait.model_ids import AUTO
from plait.serve.api.generation_requests import (
    MAX_TOOLS,
    ChatCompletionRequest,
    ChatMessage,
    JsonSchema,
    LogitBias,
    MaxTokens,
    ResponseFormat,
    Seed,
    Temperature,
)
from plait.serve.api.ignored_fields import IgnoredByResponses, NeutralInResponses
from plait.serve.api.request_body import LenientPart, RequestBody, does_not_fit
from plait.serve.api.responses.input_items import InputItems, ItemReference, MessageItem, SaidItem, conversation
from plait.serve.api.responses.tools import (
    AllowedTools,
    FileSearchChoice,
    FileSearchTool,
    FunctionTool,
    NamedFunctionChoice,
    ResponseTool,
    ResponseToolChoice,
)
from plait.serve.api.retrieval_options import RetrievalOptions
from plait.serve.api.structured_outputs import StructuredOutputs
from plait.serve.api.tool_requests import NamedFunction, NamedTool, ToolChoice
from plait.validation import first_problem

_SAMPLING = (
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("seed", "logit_bias", "stop", "ignore_eos", "include_stop_str_in_output", "skip_special_tokens"),
    "structured_outputs",
)
# Of fields of chat that have another name here; what chat says of a message is about no item in particular.
_OWN_NAMES = {"messages": "input", "max_completion_tokens": "max_output_tokens", "response_format": "text.format"}
Includable = Literal[
    "file_search_call.results",
    "message.output_text.logprobs",
    "message.input_image.image_url",
    "reasoning.encrypted_content",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class TextFormat(LenientPart):
    """`text`, `json_object` (any JSON object) or `json_schema` (an object that follows `schema`)."""

    model_config = ConfigDict(populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    strict: bool | None = Field(None, description="Ignored: the answer follows the schema in any case.")
    json_schema: dict[str, Any] | None = Field(None, alias="schema")

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise does_not_fit("schema", "schema is required with the type json_schema, and only there")
        return self

    def response_format(self) -> ResponseFormat:
        if self.json_schema is None:
            return ResponseFormat(type=self.type)
        return ResponseFormat(type=self.type, json_schema=JsonSchema(json_schema=self.json_schema))


class TextOptions(RequestBody):
    format: TextFormat = TextFormat(type="text")
    verbosity: str | None = Field(None, description="Ignored.")


class ResponseStreamOptions(LenientPart):
    include_obfuscation: bool | None = Field(None, description="Ignored: events are not padded.")


class ResponseRequest(IgnoredByResponses, NeutralInResponses):
    """`instructions` hold for this answer alone: the next one that continues it has its own."""

    model: str
    input: str | InputItems
    instructions: str | None = None
    previous_response_id: str | None = Field(None, max_length=128)
    tools: list[ResponseTool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: ResponseToolChoice | None = None
    parallel_tool_calls: bool = True
    text: TextOptions = TextOptions()
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature = 1.0
    top_p: float = Field(1.0, gt=0, le=1)
    top_logprobs: int = Field(0, ge=0, le=MAX_LOGPROBS)
    include: list[Includable] | None = Field(None, description="What is not made here is not there to include.")
    metadata: Metadata | None = None
    background: bool = Field(False, description="Answer at once, and make the answer afterwards.")
    store: bool = Field(True, description="Keep the answer and its conversation, for previous_response_id.")
    stream: bool = False
    stream_options: ResponseStreamOptions | None = None
    top_k: int | None = Field(None, ge=-1, description="This and what follows is vLLM's, and as in chat.")
    min_p: float | None = Field(None, ge=0, lt=1)
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: Seed | None = None
    logit_bias: LogitBias | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    structured_outputs: StructuredOutputs | None = None
    retrieval: RetrievalOptions | None = Field(None, description="How to retrieve; for models that begin with rag/.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise does_not_fit("stream_options", "stream_options needs stream: true")
        if self.background and self.stream:
            raise does_not_fit("stream", "what is made in the background is not streamed; GET it until it has ended")
        if self.background and not self.store:
            raise does_not_fit("store", "what is made in the background is kept; leave store out")
        if sum(isinstance(tool, FileSearchTool) for tool in self.tools or ()) > 1:
            raise does_not_fit("tools", "file_search is there more than once; one search is made for an answer")
        if self.retrieval is not None and self.file_search is not None:
            raise does_not_fit("retrieval", "the tool file_search says how to retrieve; leave retrieval out")
        choice = self.tool_choice
        if choice == "required" and not self.tools:
            raise does_not_fit("tool_choice", "tool_choice needs tools")
        chosen = choice.tools if isinstance(choice, AllowedTools) else [choice]
        if any(isinstance(each, FileSearchChoice) for each in chosen) and self.file_search is None:
            raise does_not_fit("tool_choice", "tool_choice names file_search, which is none of the tools")
        named = [each for each in chosen if isinstance(each, NamedFunctionChoice)]
        offered = {tool.name for tool in self.tools or () if isinstance(tool, FunctionTool)}
        missing = next((tool.name for tool in named if tool.name not in offered), None)
        if missing is not None:
            raise does_not_fit("tool_choice", f"tool_choice names '{missing[:80]}', which is none of the tools")
        return self

    @property
    def functions(self) -> list[FunctionTool]:
        """The functions that the model may call."""
        offered = [tool for tool in self.tools or () if isinstance(tool, FunctionTool)]
        if not isinstance(self.tool_choice, AllowedTools):
            return offered
        allowed = {tool.name for tool in self.tool_choice.tools if isinstance(tool, NamedFunctionChoice)}
        return [tool for tool in offered if tool.name in allowed]

    @property
    def file_search(self) -> FileSearchTool | None:
        """The search that the answer comes from; None also where tool_choice excludes it."""
        tool = next((tool for tool in self.tools or () if isinstance(tool, FileSearchTool)), None)
        choice = self.tool_choice
        if choice == "none" or isinstance(choice, NamedFunctionChoice):
            return None
        if isinstance(choice, AllowedTools) and not any(isinstance(t, FileSearchChoice) for t in choice.tools):
            return None
        return tool

    @property
    def items(self) -> Sequence[SaidItem | ItemReference]:
        """The items of the input; a text is one message of the user."""
        return [MessageItem(role="user", content=self.input)] if isinstance(self.input, str) else self.input

    def chat(self, items: Sequence[SaidItem]) -> ChatCompletionRequest:
        """The request of chat that asks the same; `items`: the whole conversation, without references.

        Raises:
            InvalidField: for a conversation without messages, or what chat refuses.
        """
        messages = conversation(items)
        if not messages:
            raise InvalidField("The input has no message.", "Send one of the user.", "input")
        if self.instructions is not None:
            # Some templates take one message of the system, and only at the beginning.
            rest = messages[1:] if messages[0].role in ("system", "developer") else messages
            given = [message.to_message().content for message in messages[: len(messages) - len(rest)]]
            messages = [ChatMessage(role="system", content="\n\n".join([self.instructions, *given])), *rest]
        fields: dict[str, Any] = {name: getattr(self, name) for name in (*_SAMPLING, "stream", "retrieval")}
        model, search = self.model, self.file_search
        if search is not None:
            model = model if model == AUTO or model.startswith("rag/") else f"rag/{model}"
            fields["retrieval"] = RetrievalOptions(collection=search.vector_store_ids, **search.retrieval_fields())
        if self.functions:
            fields["tools"] = [tool.definition() for tool in self.functions]
            fields["tool_choice"] = self._choice_among_functions
        try:
            return ChatCompletionRequest(
                model=model,
                messages=messages,
                max_completion_tokens=self.max_output_tokens,
                response_format=self.text.format.response_format(),
                parallel_tool_calls=self.parallel_tool_calls,
                logprobs=self.wants_logprobs,
                top_logprobs=self.top_logprobs if self.wants_logprobs else None,
                **{name: value for name, value in fields.items() if value is not None},
            )
        except ValidationError as error:
            problem = first_problem(error)
            field = _OWN_NAMES.get(problem.field.partition(".")[0], problem.field)
            raise InvalidField(str(replace(problem, field=field)), field=field) from None

    @property
    def _choice_among_functions(self) -> ToolChoice:
        choice = self.tool_choice
        if isinstance(choice, NamedFunctionChoice):
            return NamedTool(type="function", function=NamedFunction(name=choice.name))
        mode = choice.mode if isinstance(choice, AllowedTools) else choice
        if mode == "required" and self.file_search is None:  # else the search is the call that must be
            return "required"
        return "none" if mode == "none" else "auto"

    @property
    def wants_logprobs(self) -> bool:
        return "message.output_text.logprobs" in (self.include or ())

    @property
    def wants_results(self) -> bool:
        return "file_search_call.results" in (self.include or ())

    def repeated(self) -> dict[str, Any]:
        """The fields of the request that a response repeats."""
        choice = self.tool_choice
        form = self.text.format
        return {
            "background": self.background,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": self.max_tool_calls,
            "metadata": self.metadata or {},
            "model": self.model,
            "parallel_tool_calls": self.parallel_tool_calls,
            "previous_response_id": self.previous_response_id,
            "reasoning": self.reasoning or {"effort": None, "summary": None},
            "temperature": self.temperature,
            "text": {
                "format": form.model_dump(by_alias=True, exclude_none=True),
                "verbosity": self.text.verbosity or "medium",
            },
            "tool_choice": choice.model_dump() if isinstance(choice, LenientPart) else choice or "auto",
            "tools": [tool.model_dump(exclude_none=isinstance(tool, FileSearchTool)) for tool in self.tools or ()],
            "top_logprobs": self.top_logprobs,
            "top_p": self.top_p,
            "truncation": self.truncation or "disabled",
            "user": self.user,
        }
