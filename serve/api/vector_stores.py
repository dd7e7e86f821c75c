"""/v1/vector_stores in OpenAI's shape: the collections of this application, to look at and to search.

A store is a collection, a file a document. What ingestion brought has its source for id and name.
"""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.documents.uploads.uploaded_files import uploaded_as
from plait.errors import InvalidInput
from plait.index.conditions import MAX_FILTER_CHARACTERS, check_depth
from plait.retrieval.request import MAX_PASSAGES, Retrieval
from plait.retrieval.selection import best_of
from plait.serve.api.attribute_filters import AttributeFilter
from plait.serve.api.listing import Page, PageWanted, page, page_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.question import SearchQuestion
from plait.serve.api.request_body import RequestBody
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.services import Services, services
from plait.serve.messages.calls import Collection

routes = APIRouter(prefix="/v1/vector_stores", tags=["retrieval"])
_MAX_QUERIES = 32


class FileCounts(BaseModel):
    completed: int
    total: int
    in_progress: int = 0
    failed: int = 0
    cancelled: int = 0


class VectorStore(BaseModel):
    """`metadata`: the embedding model and its dimension."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int = 0
    name: str
    status: Literal["completed"] = "completed"
    file_counts: FileCounts
    metadata: dict[str, str]


class RankingOptions(RequestBody):
    ranker: Literal["none", "auto", "default-2024-11-15"] = Field(
        "auto", description="none, or the server's reranking."
    )
    score_threshold: float | None = Field(None, description="Leave out what scores less.")


class VectorStoreSearch(RequestBody):
    query: SearchQuestion | Annotated[list[SearchQuestion], Field(min_length=1, max_length=_MAX_QUERIES)]
    filters: AttributeFilter | None = Field(None, description="On keys of the documents' metadata, and on `filename`.")
    max_num_results: int = Field(10, ge=1, le=MAX_PASSAGES)
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: Literal[False] = Field(False, description="Queries are searched for as they are.")

    def retrieval(self, collection: str) -> Retrieval:
        """What is set here; the rest is the server's."""
        fields: dict[str, Any] = {"collection": collection, "top_k": self.max_num_results}
        if self.filters is not None:
            if len(self.filters.model_dump_json()) > MAX_FILTER_CHARACTERS:
                raise InvalidInput("The filters are too long.", f"Use {MAX_FILTER_CHARACTERS} characters at most.")
            fields["filter"] = self.filters.condition()
            check_depth(fields["filter"])
        if self.ranking_options.ranker == "none":
            fields["rerank"] = "none"
        if self.ranking_options.score_threshold is not None:
            fields["min_score"] = self.ranking_options.score_threshold
        return Retrieval(**fields)


class TextContent(BaseModel):
    type: Literal["text"] = "text"
    text: str


class SearchResult(BaseModel):
    """A passage. `attributes`: what of the document's metadata is a text, a number, or true or false."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: list[TextContent]


class SearchResults(BaseModel):
    """`search_query`: what was asked; of several queries the best results, each passage once by its best score."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: Literal[False] = False
    next_page: None = None


@routes.get("", responses=errors(404, 503))
async def list_stores(
    services: Annotated[Services, Depends(services)], wanted: Annotated[PageWanted, Depends(page_wanted)]
) -> Page[VectorStore]:
    """The collections that are served, in the order of the configuration; the other way round if `order` is `asc`."""
    return Page[VectorStore](**page([_store(held) for held in await services.collections()], wanted))


@routes.get("/{store_id}", responses=errors(404, 503))
async def get_store(store_id: str, services: Annotated[Services, Depends(services)]) -> VectorStore:
    """What a collection holds for the tenant of the key, else of the server."""
    return _store(await services.collection(store_id))


@routes.post("/{store_id}/search", responses=errors(404, 503))
async def search_store(
    store_id: str,
    body: VectorStoreSearch,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> SearchResults:
    """Passages for a query, or the best ones for several, best first."""
    await services.check_collection(store_id)
    queries = [body.query] if isinstance(body.query, str) else body.query
    how = body.retrieval(store_id)
    found = await asyncio.gather(*(services.retrieve(query, how, context.step.traceparent) for query in queries))
    passages = best_of([retrieved.passages for retrieved in found], body.max_num_results)
    data = [
        SearchResult(
            file_id=(uploaded_as(p.source) or (p.source,))[0],
            filename=(uploaded_as(p.source) or (p.source,))[-1],
            score=round(p.score, 4),
            attributes={key: value for key, value in p.metadata.items() if isinstance(value, str | float | int)},
            content=[TextContent(text=p.text)],
        )
        for p in passages
    ]
    return SearchResults(search_query=queries, data=data)


def _store(held: Collection) -> VectorStore:
    about = {"embedding_model": held.embedding_model, "dimension": str(held.dimension)}
    counts = FileCounts(completed=held.document_count, total=held.document_count)
    return VectorStore(id=held.name, name=held.name, file_counts=counts, metadata=about)
