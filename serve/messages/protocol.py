"""Shapes that several routes of the HTTP API share: usage, errors, lists, model cards.

OpenAI's, with what Plait adds. What requests have in common is in request_body.py.
"""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel

from plait.index.search import Mode
from plait.recipes import Rerank


class PromptTokensDetails(BaseModel):
    cached_tokens: int = 0
    """Tokens of the prompt that were computed already, for another request of the same tenant."""


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()


class InputUsage(BaseModel):
    """Usage where nothing is generated."""

    prompt_tokens: int
    total_tokens: int


class RetrievalDetails(BaseModel):
    """What was retrieved. `found` passages were given to the model, which had room for `passages` of them.

    `no_context`: nothing was found, and so the answer was refused, or given after a notice. `truncated`: the question
    is so long that its middle was left out of the search.
    """

    collection: str
    mode: Mode
    rerank: Rerank
    found: int
    passages: int
    no_context: Literal["refused", "answered"] | None = None
    truncated: bool = False


class RouteDetails(BaseModel):
    """Which arm answered. All but `kind` and `arm` is there for `auto` alone.

    `arm`: the model id that was asked. `probabilities`: of a right answer, by arm, as the policy sees them.
    `expected_tokens`: read and written, of an answer of this arm on average. `propensity`: how likely this arm was,
    where some are drawn at random.
    """

    kind: Literal["direct", "rag"]
    arm: str
    policy: str | None = None
    """`name:version`, or the file of rules; empty: none could be loaded."""
    reason: str | None = None
    probabilities: dict[str, float] | None = None
    expected_quality: float | None = None
    expected_tokens: float | None = None
    explored: bool | None = None
    propensity: float | None = None


class PlaitDetails(BaseModel):
    """What happened on the way to the answer."""

    route: RouteDetails
    model: str
    """The weights that answered: `base`, or `name:version` of an adapter; `none` for a refusal."""
    retrieval: RetrievalDetails | None = None
    timings_ms: dict[str, float]
    """`first_token`, `total`; with retrieval also `retrieval`, of it `embed`, `search`, `rerank`, `expand`, and
    `generate`, which is the rest."""
    tokens: Usage
    cost: float | None = None
    """Of these tokens, in the currency of the server's `prices`; null where there is no price."""
    trace_id: str
    """The OpenTelemetry trace of the request, 32 hexadecimal digits."""
    stopped_by: Literal["deadline"] | None = None
    """`deadline`: the answer is cut because the request's time was over."""


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "plait"
    root: str
    parent: str | None = None


Item = TypeVar("Item")


class ObjectList(BaseModel, Generic[Item]):
    """OpenAI's list object."""

    object: Literal["list"] = "list"
    data: list[Item]


class ErrorBody(BaseModel):
    message: str
    type: str
    code: str
    param: str | None = None


class ErrorResponse(BaseModel):
    error: ErrorBody
