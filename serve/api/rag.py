"""Questions to the documents: /v1/retrieve gives passages, /v1/rag/query an answer from them with its citations.

Both are for callers that want no conversation; one with streaming and tools is `rag/…` in /v1/chat/completions.
"""

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.retrieval.request import Retrieval
from plait.serve.api.asking import ask_chat
from plait.serve.api.citations import Citation
from plait.serve.api.generation_answers import ChatCompletion, ChatFinish
from plait.serve.api.generation_requests import ChatCompletionRequest, ChatMessage, MaxTokens, Seed, Temperature
from plait.serve.api.openapi import errors
from plait.serve.api.question import SearchQuestion
from plait.serve.api.request_body import NullIsNotGiven, RequestBody
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.retrieval_options import RetrievalOptions, what_is_set
from plait.serve.api.services import Services, services
from plait.serve.messages.protocol import ObjectList, PlaitDetails

routes = APIRouter(tags=["retrieval"])


class RetrieveRequest(NullIsNotGiven, Retrieval):
    query: SearchQuestion


class FoundPassage(BaseModel):
    """`start` and `end`: characters in the cleaned text of `source`. `metadata`: the document's."""

    chunk_id: str
    source: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    score: float
    metadata: dict[str, Any]
    collection: str


class RetrieveResponse(ObjectList[FoundPassage]):
    """`timings_ms`: `embed`, `search`, `rerank`, `expand` where they were done, and `total`. `truncated`: the query is
    so long that its middle was left out of the search."""

    collection: str
    timings_ms: dict[str, float]
    truncated: bool = False


class RagQuery(RequestBody):
    query: SearchQuestion
    model: str = Field("base", description="Who answers: base, or an adapter; without rag/.")
    retrieval: RetrievalOptions | None = None
    max_tokens: MaxTokens | None = None
    temperature: Temperature = 0.0
    seed: Seed | None = None


class RagAnswer(BaseModel):
    """`citations`: the passages that were in the prompt, best first."""

    id: str
    object: Literal["rag.answer"] = "rag.answer"
    model: str
    answer: str
    citations: list[Citation]
    finish_reason: ChatFinish
    plait: PlaitDetails


@routes.post("/v1/retrieve", responses=errors(404, 503))
async def retrieve(
    body: RetrieveRequest,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> RetrieveResponse:
    """The passages for a question, best first."""
    retrieved = await services.retrieve(body.query, what_is_set(body), context.step.traceparent)
    return RetrieveResponse(
        data=[
            FoundPassage(
                chunk_id=p.chunk_id,
                source=p.source,
                title=p.title,
                heading=p.heading,
                text=p.text,
                start=p.start,
                end=p.end,
                score=round(p.score, 4),
                metadata=p.metadata,
                collection=p.collection,
            )
            for p in retrieved.passages
        ],
        collection=", ".join(retrieved.collections),
        timings_ms={stage: round(value, 1) for stage, value in retrieved.timings_ms.items()},
        truncated=retrieved.is_cut,
    )


@routes.post(
    "/v1/rag/query", response_model=RagAnswer, response_model_exclude_unset=True, responses=errors(404, 429, 503, 504)
)
async def query(
    body: RagQuery,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> RagAnswer:
    """An answer to one question from retrieved passages."""
    chat = ChatCompletionRequest(
        model=f"rag/{body.model}",
        messages=[ChatMessage(role="user", content=body.query)],
        retrieval=body.retrieval,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        seed=body.seed,
    )
    answer = await ask_chat(chat, services, context).answered()
    completion = cast("ChatCompletion", answer.whole())
    (choice,) = completion.choices
    return RagAnswer(
        id=context.id,
        object="rag.answer",
        model=completion.model,
        answer=choice.message.content or "",
        citations=choice.message.annotations,
        finish_reason=choice.finish_reason,
        plait=completion.plait,
    )
