"""Answers of the routes that generate text, in OpenAI's shapes: whole, and as chunks of a stream.

They are what /openapi.json describes. Fields that were never set are left out of what is sent.
"""

from typing import Literal

from pydantic import BaseModel

from plait.serve.api.citations import Citation
from plait.serve.api.open_webui import SourceEvent
from plait.serve.messages.protocol import PlaitDetails, Usage

ChatFinish = Literal["stop", "length", "tool_calls"]
TextFinish = Literal["stop", "length"]


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class ChatLogprob(TopLogprob):
    """A chosen token; `top_logprobs`: the likeliest at its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[ChatLogprob]


class TextLogprobs(BaseModel):
    """Of completions: lists with one entry a token. `text_offset`: whole characters before the token.

    `top_logprobs` have the token itself besides the likeliest. The first token of an echoed prompt has no
    log-probability.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class PromptToken(BaseModel):
    """A token that stands at a place of the prompt, or could: vLLM's `prompt_logprobs`."""

    logprob: float
    rank: int | None
    decoded_token: str


PromptTokens = list[dict[str, PromptToken] | None]
"""Of each place of the prompt: its own token and the likeliest, by their ids; null for the first."""


class AnsweredFunction(BaseModel):
    name: str
    arguments: str


class AnsweredToolCall(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: AnsweredFunction


class ToolCallDelta(AnsweredToolCall):
    index: int


class ChatAnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str | None
    annotations: list[Citation]
    tool_calls: list[AnsweredToolCall] = []


class ChatChoice(BaseModel):
    index: int
    message: ChatAnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinish


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    plait: PlaitDetails
    prompt_logprobs: PromptTokens | None = None


class ChatDelta(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str | None = None
    annotations: list[Citation] = []
    tool_calls: list[ToolCallDelta] = []


class ChatChunkChoice(BaseModel):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinish | None


class ChatCompletionChunk(BaseModel):
    """One event of a stream. The last one with choices has `plait`; `usage` comes alone after it.

    Where Open WebUI asks, chunks without choices have an `event` for each source, in place of annotations.
    """

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
    plait: PlaitDetails | None = None
    event: SourceEvent | None = None


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: TextFinish
    prompt_logprobs: PromptTokens | None = None


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage
    plait: PlaitDetails


class TextChunkChoice(BaseModel):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: TextFinish | None


class CompletionChunk(BaseModel):
    """One event of a stream, as of chat."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChunkChoice]
    usage: Usage | None = None
    plait: PlaitDetails | None = None
