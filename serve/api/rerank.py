"""/v1/rerank in the shape of Jina and Cohere: documents in, an order out.

Cohere's client asks /v2/rerank, vLLM's clients /rerank.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.serve.api.ignored_fields import IgnoredFields, NeutralInRerank
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import LenientPart
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.services import Services, services

routes = APIRouter(tags=["rerank"])


class RerankText(LenientPart):
    text: str


class RerankRequest(IgnoredFields, NeutralInRerank):
    model: str = Field("reranker", description="`reranker`, or the model source that it is served from.")
    query: str
    documents: list[str | RerankText] = Field(min_length=1, max_length=1000)
    top_n: int | None = Field(None, ge=0, description="How many of the best; 0: all.")
    return_documents: bool = False
    max_tokens_per_doc: int | None = Field(
        None, ge=0, description="Where it would cut a document, the request is refused: nothing is cut here. 0: none."
    )


class RerankResult(BaseModel):
    """`index`: of the document in the request; `relevance_score`: higher is better."""

    index: int
    relevance_score: float
    document: RerankText | None = None


class RerankResponse(BaseModel):
    id: str
    model: str
    results: list[RerankResult]


@routes.post("/rerank", response_model_exclude_none=True, include_in_schema=False)
@routes.post("/v1/rerank", response_model_exclude_none=True, responses=errors(404, 503))
@routes.post("/v2/rerank", response_model_exclude_none=True, responses=errors(404, 503))
async def rerank(
    body: RerankRequest,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> RerankResponse:
    """Documents by how well they answer the query, best first."""
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    if body.max_tokens_per_doc:
        await services.check_uncut(texts, body.max_tokens_per_doc)
    scores = await services.rerank(body.query, texts, body.model)
    order = sorted(range(len(texts)), key=lambda i: -scores[i])[: body.top_n or None]
    results = [
        RerankResult(
            index=i,
            relevance_score=scores[i],
            document=RerankText(text=texts[i]) if body.return_documents else None,
        )
        for i in order
    ]
    return RerankResponse(id=context.id, model=body.model, results=results)
