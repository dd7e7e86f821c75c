"""Responses and their items in OpenAI's shapes, with what Plait adds. They are what /openapi.json describes.

What an answer holds can be sent back as the input of the next request.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from plait.serve.api.citations import Citation, Quote
from plait.serve.api.generation_answers import ChatLogprob
from plait.serve.api.listing import Page
from plait.serve.messages.protocol import PlaitDetails

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class FileAnnotation(BaseModel):
    """A file that the text is from. `index`: the character of the text after which it is cited."""

    type: Literal["file_citation"] = "file_citation"
    file_id: str
    filename: str
    index: int


class UrlAnnotation(BaseModel):
    """A passage that was in the prompt: chat's citation with OpenAI's fields of it beside ours."""

    type: Literal["url_citation"] = "url_citation"
    url: str
    title: str
    start_index: int
    end_index: int
    chunk_id: str
    source: str
    heading: str
    start: int
    end: int
    score: float
    text: str
    quote: Quote | None

    @classmethod
    def of(cls, citation: Citation) -> "UrlAnnotation":
        ours = citation.model_dump(include={"chunk_id", "source", "heading", "start", "end", "score", "text", "quote"})
        return cls(**citation.url_citation.model_dump(), **ours)


Annotation = Annotated[FileAnnotation | UrlAnnotation, Field(discriminator="type")]


class OutputText(BaseModel):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Annotation] = []
    logprobs: list[ChatLogprob] = []


class OutputMessage(BaseModel):
    id: str
    type: Literal["message"] = "message"
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: list[OutputText]


class OutputFunctionCall(BaseModel):
    """A call that the client is to make; `call_id` goes with what it gives."""

    id: str
    type: Literal["function_call"] = "function_call"
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class FileSearchResult(BaseModel):
    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    text: str


class FileSearchCall(BaseModel):
    """What was searched for; `results`: what was found, where `include` asks for it."""

    id: str
    type: Literal["file_search_call"] = "file_search_call"
    status: Literal["in_progress", "searching", "completed"]
    queries: list[str]
    results: list[FileSearchResult] | None = None


OutputItem = Annotated[OutputMessage | OutputFunctionCall | FileSearchCall, Field(discriminator="type")]


class InputText(BaseModel):
    type: Literal["input_text"] = "input_text"
    text: str


class InputMessage(BaseModel):
    id: str
    type: Literal["message"] = "message"
    status: Literal["completed"] = "completed"
    role: Literal["user", "system", "developer"]
    content: list[InputText]


class FunctionCallOutput(BaseModel):
    id: str
    type: Literal["function_call_output"] = "function_call_output"
    status: Literal["completed"] = "completed"
    call_id: str
    output: str


class ResponseItemList(Page[InputMessage | OutputMessage | OutputFunctionCall | FunctionCallOutput | FileSearchCall]):
    """Items of a conversation."""


class InputTokensDetails(BaseModel):
    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokensDetails(BaseModel):
    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class ResponseError(BaseModel):
    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class IncompleteDetails(BaseModel):
    """`reason`: null where the request's time was over, for which OpenAI has no word; `plait.stopped_by` says so."""

    reason: Literal["max_output_tokens"] | None


class Response(BaseModel):
    """An answer, or how it stands with one. `store`: whether it is kept under its id."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status
    background: bool = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: dict[str, Any] | None
    service_tier: Literal["default"] = "default"
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None = None
    user: str | None
    plait: PlaitDetails | None = None


class ResponseDeleted(BaseModel):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
