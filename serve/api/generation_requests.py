"""What requests that generate text share, and the body of a chat, in OpenAI's shape with vLLM's additions.

In: the body of a request. Out: the call it means; `n` answers to it are its choices. Nothing here knows how an answer
looks.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from plait.engines.engine import (
    LOGIT_BIASES,
    MAX_LOGIT_BIASES,
    MAX_LOGPROBS,
    PENALTIES,
    REPETITION_PENALTIES,
    SEEDS,
    TEMPERATURES,
    Sampling,
)
from plait.errors import InvalidField
from plait.model_ids import ModelId
from plait.models.message import Message, ToolCall
from plait.serve.api.engine_fields import MAX_COUNT, EngineFields
from plait.serve.api.ignored_fields import IgnoredByChat, IgnoredByGeneration, NeutralInChat
from plait.serve.api.message_parts import only_parts
from plait.serve.api.request_body import LenientPart, RequestBody, does_not_fit
from plait.serve.api.retrieval_options import RetrievalOptions, what_is_set
from plait.serve.api.structured_outputs import StructuredFields
from plait.serve.api.template_fields import TemplateFields
from plait.serve.api.tool_requests import ToolChoice, ToolDefinition, schema_to_follow
from plait.serve.messages.calls import Call

MAX_CHOICES = 128
_MAX_STOP_BYTES = 16 * 1024  # of all together: an engine makes a table of their characters
MAX_MESSAGES = 4096
MAX_TOOLS = 128  # OpenAI's

_STOP_STRING: dict[str, Any] = {"type": "string", "minLength": 1}
_STOP: dict[str, Any] = {"anyOf": [_STOP_STRING, {"type": "array", "items": _STOP_STRING}]}

MaxTokens = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=SEEDS[0], le=SEEDS[1])]
_TokenAsText = Annotated[int, Field(ge=0, strict=False, json_schema_extra={"pattern": r"^\d+$"})]
_Bias = Annotated[float, Field(ge=LOGIT_BIASES[0], le=LOGIT_BIASES[1])]
LogitBias = Annotated[
    dict[_TokenAsText, _Bias], Field(max_length=MAX_LOGIT_BIASES, json_schema_extra={"additionalProperties": False})
]
Temperature = Annotated[float, Field(ge=TEMPERATURES[0], le=TEMPERATURES[1])]
_Penalty = Annotated[float, Field(ge=PENALTIES[0], le=PENALTIES[1])]


class TextPart(LenientPart):
    type: Literal["text"]
    text: str


class FunctionCall(LenientPart):
    name: str
    arguments: str


class ToolCallMessage(LenientPart):
    """A call in the message of an assistant."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(LenientPart):
    """A message of a conversation; content is text, or parts of text."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Annotated[TextPart, only_parts("text")]] | None = None
    tool_calls: list[ToolCallMessage] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise does_not_fit("content", "content is required, except beside an assistant's tool_calls")
        if self.tool_calls and self.role != "assistant":
            raise does_not_fit("tool_calls", "only an assistant has tool_calls")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise does_not_fit("tool_call_id", "tool_call_id is required in a message of the role tool, and only there")
        return self

    def to_message(self) -> Message:
        content = self.content or ""
        return Message(
            "system" if self.role == "developer" else self.role,
            content if isinstance(content, str) else "".join(part.text for part in content),
            tuple(ToolCall(c.id, c.function.name, c.function.arguments) for c in self.tool_calls or ()),
            self.tool_call_id or "",
        )


def _has_not_too_many_parts(messages: Any) -> Any:
    """Counted before they are looked at: that takes microseconds for each, in which the API answers nobody else."""
    if isinstance(messages, list):
        parts = (m.get(name) for m in messages if isinstance(m, dict) for name in ("content", "tool_calls"))
        count = sum(len(part) for part in parts if isinstance(part, list))
        if count > MAX_MESSAGES:
            raise ValueError(f"the messages have {count} parts and tool calls, at most {MAX_MESSAGES} are taken")
    return messages


Conversation = Annotated[
    list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES), BeforeValidator(_has_not_too_many_parts)
]


class StreamOptions(LenientPart):
    include_usage: bool = False


class JsonSchema(LenientPart):
    model_config = ConfigDict(populate_by_name=True)

    name: str = "answer"
    json_schema: dict[str, Any] = Field({"type": "object"}, alias="schema")


class ResponseFormat(RequestBody):
    """`text`, `json_object` (any JSON object) or `json_schema` (an object that follows a schema)."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise does_not_fit("json_schema", "json_schema is required with the type json_schema, and only there")
        return self

    @property
    def schema_text(self) -> str | None:
        if self.type == "text":
            return None
        return json.dumps(self.json_schema.json_schema if self.json_schema else {"type": "object"})


class GenerationBody(IgnoredByGeneration, EngineFields, StructuredFields):
    """What chat and completions share."""

    model: str
    max_tokens: MaxTokens | None = None
    temperature: Temperature = 1.0
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(
        0, ge=-1, le=MAX_COUNT, description="Keeps this many of the likeliest tokens; 0 and -1 keep all."
    )
    min_p: float = Field(0.0, ge=0, lt=1, description="Keeps tokens at least this share as likely as the likeliest.")
    repetition_penalty: float = Field(
        1.0,
        ge=REPETITION_PENALTIES[0],
        le=REPETITION_PENALTIES[1],
        description="Of tokens that the prompt or the answer has; 1: none.",
    )
    presence_penalty: _Penalty = 0.0
    frequency_penalty: _Penalty = 0.0
    logit_bias: LogitBias | None = Field(None, description="Added to the logits of these tokens.")
    stop: str | list[str] | None = Field(None, json_schema_extra=_STOP)
    seed: Seed | None = Field(None, description="Repeats an answer; the choices of `n` take seed, seed + 1, …")
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    ignore_eos: bool = Field(False, description="Go on to max_tokens, whatever the model says.")
    stream: bool = False
    stream_options: StreamOptions | None = None

    @field_validator("stop")
    @classmethod
    def _are_short_and_not_empty(cls, stop: str | list[str] | None) -> str | list[str] | None:
        size = len("".join(stop or ()).encode(errors="replace"))
        if size > _MAX_STOP_BYTES:
            raise ValueError(f"the stop strings have {size} bytes, at most {_MAX_STOP_BYTES} are taken")
        if stop == "" or (isinstance(stop, list) and "" in stop):
            raise ValueError("a stop string has a character at least")
        return stop

    @model_validator(mode="after")
    def _streams_what_it_has_options_for(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise does_not_fit("stream_options", "stream_options needs stream: true")
        if self.stream and self.prompt_logprobs is not None:
            raise does_not_fit("prompt_logprobs", "prompt_logprobs come with whole answers; they need stream: false")
        return self

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def _sampling(
        self, max_tokens: int, logprobs: int | None, json_schema: str | None, prompt_logprobs: int | None
    ) -> Sampling:
        structure = self.structure if json_schema is None else {"json_schema": json_schema}
        return Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(self.top_k, 0),
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=tuple((self.logit_bias or {}).items()),
            stop=self.stop_strings,
            seed=self.seed,
            logprobs=logprobs,
            ignore_eos=self.ignore_eos,
            prompt_logprobs=prompt_logprobs,
            **self.engine_sampling,
            **structure,
        )


class ChatCompletionRequest(GenerationBody, TemplateFields, IgnoredByChat, NeutralInChat):
    messages: Conversation
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: list[ToolDefinition] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = Field(None, description="auto where there are tools, else none.")
    parallel_tool_calls: bool = True
    retrieval: RetrievalOptions | None = Field(None, description="How to retrieve; for models that begin with rag/.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise does_not_fit("top_logprobs", "top_logprobs needs logprobs: true")
        names = {tool.function.name for tool in self.tools or ()}
        if self.must_call_a_tool and not names:
            raise does_not_fit("tool_choice", "tool_choice needs tools")
        if self.forced_tool is not None and self.forced_tool not in names:
            raise does_not_fit("tool_choice", f"tool_choice names '{self.forced_tool}', which is none of the tools")
        if self.structure and self.may_call_tools:
            raise does_not_fit(
                self.structure_names[0],
                f'{self.structure_names[0]} and tools exclude each other; send tool_choice: "none"',
            )
        if self.structure and self.response_format and self.response_format.schema_text:
            raise does_not_fit("response_format", f"response_format and {self.structure_names[0]} exclude each other")
        return self

    @property
    def may_call_tools(self) -> bool:
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def forced_tool(self) -> str | None:
        """The one function that must be called."""
        return None if self.tool_choice is None or isinstance(self.tool_choice, str) else self.tool_choice.function.name

    @property
    def must_call_a_tool(self) -> bool:
        return self.tool_choice == "required" or self.forced_tool is not None

    def calls(self, default_max_tokens: int) -> list[Call]:
        """One call; the model may call tools in its answer."""
        tools = tuple(tool.to_tool() for tool in self.tools or ()) if self.may_call_tools else ()
        schema = schema_to_follow(
            tools,
            self.response_format.schema_text if self.response_format else None,
            must_call=self.must_call_a_tool,
            only=self.forced_tool,
            is_parallel=self.parallel_tool_calls,
        )
        logprobs = (self.top_logprobs or 0) if self.logprobs else None
        model = ModelId.requested(self.model)
        if self.retrieval is not None and not (model.with_retrieval or model.is_auto):
            raise InvalidField(
                f"'{self.model}' does not retrieve.", f"Ask for rag/{self.model}, or leave retrieval out.", "retrieval"
            )
        call = Call(
            model=model,
            sampling=self._sampling(
                self.max_completion_tokens or self.max_tokens or default_max_tokens,
                logprobs,
                schema,
                self.prompt_logprobs,
            ),
            messages=tuple(message.to_message() for message in self.messages),
            tools=tools,
            retrieval=what_is_set(self.retrieval) if self.retrieval else None,
            truncate_prompt_tokens=self.truncate_prompt_tokens,
            **self.template,
        )
        return [call]
