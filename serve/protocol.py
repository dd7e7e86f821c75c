"""Shapes that several routes of the HTTP API share: usage, errors, model cards, citations.

OpenAI's, with what Plait adds. A field of a request that is unknown or not supported is an error that names it: an
ignored setting would be a wrong answer that looks right.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """The body of a request; what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


class PromptTokensDetails(BaseModel):
    cached_tokens: int = 0
    """Tokens of the prompt that were computed already, for another request."""


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()


class InputUsage(BaseModel):
    """Usage where nothing is generated."""

    prompt_tokens: int
    total_tokens: int


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


class PlaitDetails(BaseModel):
    """What happened on the way to the answer."""

    route: Literal["direct", "rag"]
    model: str
    """The weights that answered: `base`, or `name:version` of an adapter."""
    retrieval: dict[str, Any] | None = None
    timings_ms: dict[str, float]
    tokens: Usage
    stopped_by: Literal["deadline"] | None = None
    """`deadline`: the answer is cut because the request's time was over."""


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "plait"
    root: str
    parent: str | None = None


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class ErrorBody(BaseModel):
    message: str
    type: str
    code: str
    param: str | None = None


class ErrorResponse(BaseModel):
    error: ErrorBody
