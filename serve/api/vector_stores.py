"""/v1/vector_stores in OpenAI's shape: the collections of this application, to look at and to search. For keys of the
scopes `infer` and `documents`.

A store is a collection, a file a document. What ingestion brought has its source for id and name.
"""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.documents.uploads.uploaded_files import as_file
from plait.recipes import MAX_TOP_K
from plait.retrieval.request import Retrieval
from plait.retrieval.selection import best_of
from plait.serve.api.listing import Page, PageWanted, page, page_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.question import SearchQuestion
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.services import Services, services
from plait.serve.api.store_search import StoreSearch
from plait.serve.api.vector_store_objects import VectorStore, described

routes = APIRouter(prefix="/v1/vector_stores", tags=["retrieval"])
_MAX_QUERIES = 32


class VectorStoreSearch(StoreSearch):
    query: SearchQuestion | Annotated[list[SearchQuestion], Field(min_length=1, max_length=_MAX_QUERIES)]
    max_num_results: int = Field(10, ge=1, le=MAX_TOP_K)
    rewrite_query: Literal[False] = Field(False, description="Queries are searched for as they are.")


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
    """The collections that are served: those that clients made, newest first, then those of the configuration in its
    order; the other way round if `order` is `asc`."""
    return Page[VectorStore](**page(await described(await services.collections()), wanted))


@routes.get("/{store_id}", responses=errors(404, 503))
async def get_store(store_id: str, services: Annotated[Services, Depends(services)]) -> VectorStore:
    """What a collection holds for the tenant of the key, else of the server."""
    (store,) = await described([await services.collection(store_id)])
    return store


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
    how = Retrieval(collection=store_id, **body.retrieval_fields())
    found = await asyncio.gather(*(services.retrieve(query, how, context.step.traceparent) for query in queries))
    passages = best_of([retrieved.passages for retrieved in found], body.max_num_results)
    data = [
        SearchResult(
            file_id=as_file(p.source)[0],
            filename=as_file(p.source)[1],
            score=round(p.score, 4),
            attributes={key: value for key, value in p.metadata.items() if isinstance(value, str | float | int)},
            content=[TextContent(text=p.text)],
        )
        for p in passages
    ]
    return SearchResults(search_query=queries, data=data)
