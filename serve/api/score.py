"""/v1/score in vLLM's shape: pairs of texts in, how well they fit each other out. vLLM's clients ask /score."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, model_validator

from plait.serve.api.ignored_fields import IgnoredFields, NeutralInScore
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import does_not_fit
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.services import Services, services
from plait.serve.messages.protocol import ObjectList, Usage

routes = APIRouter(tags=["rerank"])
_MAX_TEXTS = 1000
_QUERIES_AT_ONCE = 32  # what the reranker computes together, so that others' questions come in between
_NAMES = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))
"""vLLM's names for the two sides."""

Texts = str | Annotated[list[str], Field(min_length=1, max_length=_MAX_TEXTS)]


class ScoreRequest(IgnoredFields, NeutralInScore):
    """Two sides under one of vLLM's pairs of names: one text and several, or as many on both sides."""

    model: str = Field("reranker", description="`reranker`, or the model source that it is served from.")
    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    items: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None

    @model_validator(mode="after")
    def _has_two_sides(self) -> Self:
        given = {name for pair in _NAMES for name in pair if getattr(self, name) is not None}
        if given not in [set(pair) for pair in _NAMES]:
            raise does_not_fit("text_1", "text_1 and text_2 are required, or queries and documents")
        first, second = self._sides()
        if len(first) not in (1, len(second)):
            raise does_not_fit(
                "text_1", f"{len(first)} texts and {len(second)} make no pairs; send one and several, or as many"
            )
        return self

    def _sides(self) -> tuple[list[str], list[str]]:
        first, second = next(
            (getattr(self, a), getattr(self, b))
            for a, b in _NAMES
            if getattr(self, a) is not None and getattr(self, b) is not None
        )
        return ([first] if isinstance(first, str) else first), ([second] if isinstance(second, str) else second)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The pairs, in the order of the second side."""
        first, second = self._sides()
        return zip(first * len(second) if len(first) == 1 else first, second, strict=True)


class Score(BaseModel):
    """`index`: of the pair; `score`: higher is better."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreResponse(ObjectList[Score]):
    id: str
    created: int
    model: str
    usage: Usage


@routes.post("/score", include_in_schema=False)
@routes.post("/v1/score", responses=errors(404, 503))
async def score(
    body: ScoreRequest,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> ScoreResponse:
    """How well the texts of each pair fit each other: what rerank gives to a query and a document."""
    pairs = list(body.pairs())
    scores = await _scores(pairs, body.model, services)
    tokens = await services.count_scored_tokens([text for pair in pairs for text in pair])
    return ScoreResponse(
        id=context.id,
        created=int(time.time()),
        model=body.model,
        data=[Score(index=i, score=scores[i]) for i in range(len(pairs))],
        usage=Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens),
    )


async def _scores(pairs: Sequence[tuple[str, str]], model: str, services: Services) -> dict[int, float]:
    """The score of each pair by its number; those of one query are asked for together."""
    of_query: dict[str, list[int]] = {}
    for i, (query, _) in enumerate(pairs):
        of_query.setdefault(query, []).append(i)
    scores: dict[int, float] = {}
    queries = list(of_query)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = queries[start : start + _QUERIES_AT_ONCE]
        asked = [services.rerank(query, [pairs[i][1] for i in of_query[query]], model) for query in part]
        for query, answer in zip(part, await asyncio.gather(*asked), strict=True):
            scores |= zip(of_query[query], answer, strict=True)
    return scores
