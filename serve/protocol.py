"""The shapes of the HTTP API: OpenAI's requests and responses, with what Plait adds.

Added to OpenAI's: `retrieval` in requests; `annotations` (citations) in messages and `plait` in responses. A field that
is unknown or not supported is an error that names it: an ignored setting would be a wrong answer that looks right.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from plait.models.chat import Message


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message of a conversation; content is text, or parts of text."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def to_message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message("system" if self.role == "developer" else self.role, text)


class RetrievalOptions(BaseModel):
    """How to retrieve for this request; `extra_body={"retrieval": {…}}` in OpenAI's client."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(None, ge=1, le=50, description="Passages to retrieve.")


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class _Sampling(BaseModel):
    """What both kinds of request share."""

    model_config = ConfigDict(extra="forbid")

    model: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] = 1
    user: str | None = None
    presence_penalty: float = Field(0.0, ge=0, le=0, description="Not supported yet.")
    frequency_penalty: float = Field(0.0, ge=0, le=0, description="Not supported yet.")

    @field_validator("stop")
    @classmethod
    def at_most_four(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if isinstance(stop, list) and len(stop) > 4:
            raise ValueError("at most 4 stop strings")
        return stop

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatCompletionRequest(_Sampling):
    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    retrieval: RetrievalOptions = RetrievalOptions()


class CompletionRequest(_Sampling):
    prompt: str


class Citation(BaseModel):
    """A passage that the answer was given from. `start` and `end`: characters in the cleaned text of `source`."""

    type: Literal["plait_citation"] = "plait_citation"
    chunk_id: str
    source: str
    title: str
    start: int
    end: int
    score: float
    text: str


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class PlaitDetails(BaseModel):
    """What happened on the way to the answer."""

    route: Literal["direct", "rag"]
    model: str
    """The weights that answered: `base`, or `name:version` of an adapter."""
    retrieval: dict[str, Any] | None = None
    timings_ms: dict[str, float]
    tokens: Usage


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "plait"
    root: str
    parent: str | None = None


class ErrorBody(BaseModel):
    message: str
    type: str
    code: str
    param: str | None = None
