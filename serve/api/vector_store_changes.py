"""/v1/vector_stores in OpenAI's shape: make collections, change what is said of them, delete them.

For keys of the scope `documents`. A store is a collection of the index, made with the embedding model and the chunk
settings of the server's first one.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.documents.uploads.attachments import AttachmentOptions
from plait.documents.uploads.made_collections import MadeCollection
from plait.serve.api.chunking_strategy import ChunkingStrategy
from plait.serve.api.documents import Documents, documents
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import RequestBody
from plait.serve.api.services import Services, services
from plait.serve.api.vector_store_objects import StoreExpiry, VectorStore, described

routes = APIRouter(prefix="/v1/vector_stores", tags=["files"])
_MAX_FILES = 2_000
_Name = Annotated[str, Field(max_length=256)]
_Key = Annotated[str, Field(min_length=1, max_length=64)]
_Value = Annotated[str, Field(max_length=512)]
_Metadata = Annotated[dict[_Key, _Value], Field(max_length=16)]
_Documents = Annotated[Documents, Depends(documents)]
_Services = Annotated[Services, Depends(services)]


class NewVectorStore(RequestBody):
    """`chunking_strategy` is that of `file_ids`."""

    name: _Name = ""
    description: str | None = Field(None, max_length=2_048)
    metadata: _Metadata | None = None
    expires_after: StoreExpiry | None = None
    file_ids: list[str] = Field([], max_length=_MAX_FILES)
    chunking_strategy: ChunkingStrategy | None = None


class VectorStoreChange(RequestBody):
    """What is not given stays. `null` takes the metadata, or the expiry, away."""

    name: _Name | None = None
    metadata: _Metadata | None = None
    expires_after: StoreExpiry | None = None


class VectorStoreDeleted(BaseModel):
    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: Literal[True] = True


@routes.post("", responses=errors(404, 409, 503, 507))
async def make_store(body: NewVectorStore, documents: _Documents, services: _Services) -> VectorStore:
    """Make a store. One that a key of a tenant makes is that tenant's; any other is for every tenant, each with
    documents of its own."""
    new = MadeCollection(
        id="",
        created_at=0,
        name=body.name,
        description=body.description,
        metadata=body.metadata or {},
        expires_after_days=body.expires_after.days if body.expires_after else None,
    )
    options = AttachmentOptions(chunk_size=body.chunking_strategy.chunk_size() if body.chunking_strategy else None)
    made = await documents.make(new, dict.fromkeys(body.file_ids, options))
    return await _described(made.id, services)


@routes.post("/{store_id}", responses=errors(404, 409, 503, 507))
async def change_store(
    store_id: str, body: VectorStoreChange, documents: _Documents, services: _Services
) -> VectorStore:
    """Change what is said of a store that was made over the API."""
    made = await documents.changeable(store_id)
    if body.name is not None:
        made = made.model_copy(update={"name": body.name})
    if "metadata" in body.model_fields_set:
        made = made.model_copy(update={"metadata": body.metadata or {}})
    if "expires_after" in body.model_fields_set:
        days = body.expires_after.days if body.expires_after else None
        made = made.model_copy(update={"expires_after_days": days})
    await documents.change(made)
    return await _described(store_id, services)


@routes.delete("/{store_id}", responses=errors(404, 409, 503))
async def delete_store(store_id: str, documents: _Documents) -> VectorStoreDeleted:
    """Delete a store that was made over the API, and what is indexed in it, for every tenant; the files stay."""
    await documents.drop(store_id)
    return VectorStoreDeleted(id=store_id)


async def _described(store_id: str, services: Services) -> VectorStore:
    (store,) = await described([await services.collection(store_id)])
    return store
