"""/v1/vector_stores/…/passages: a cited passage by its id, which is the address of a citation whose source has none."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from plait.serve.api.openapi import errors
from plait.serve.api.services import Services, services
from plait.tenants import MAX_TENANT_CHARACTERS

routes = APIRouter(prefix="/v1/vector_stores/{store_id}/passages", tags=["retrieval"])


class CitedPassage(BaseModel):
    """`start` and `end`: characters in the cleaned text of `source`. `metadata`: the document's."""

    id: str
    object: Literal["passage"] = "passage"
    source: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    metadata: dict[str, Any]


@routes.get("/{passage_id}", responses=errors(404, 503))
async def get_passage(
    store_id: str,
    passage_id: str,
    services: Annotated[Services, Depends(services)],
    tenant: Annotated[str | None, Query(min_length=1, max_length=MAX_TENANT_CHARACTERS)] = None,
) -> CitedPassage:
    """A passage of the key's tenant, else of the server's or the named one; without its neighbours."""
    passage = await services.passage(store_id, passage_id, tenant)
    return CitedPassage(
        id=passage.chunk_id,
        source=passage.source,
        title=passage.title,
        heading=passage.heading,
        text=passage.text,
        start=passage.start,
        end=passage.end,
        metadata=passage.metadata,
    )
