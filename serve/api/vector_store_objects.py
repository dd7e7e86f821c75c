"""A collection as OpenAI's clients know it: a vector store.

In: what the retriever says of collections, and what the disk says of their files. Out: one object for each.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from plait.documents.uploads import attachments, made_collections
from plait.documents.uploads.attachments import Tally
from plait.serve.api.request_body import RequestBody
from plait.serve.messages.calls import Collection


class FileCounts(BaseModel):
    completed: int
    total: int
    in_progress: int = 0
    failed: int = 0
    cancelled: int = 0


class StoreExpiry(RequestBody):
    """The store is deleted so many days after it was used last."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class VectorStore(BaseModel):
    """Times are seconds since 1970, UTC. `status`: whether files wait to be indexed. `usage_bytes`: of uploaded files.

    A store of the configuration has 0 for `created_at`, and for `metadata` the embedding model and its dimension.
    """

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int = 0
    name: str
    description: str | None = None
    status: Literal["completed", "in_progress"]
    usage_bytes: int
    file_counts: FileCounts
    metadata: dict[str, str]
    last_active_at: int | None = None
    expires_after: StoreExpiry | None = None
    expires_at: int | None = None


async def described(collections: Sequence[Collection]) -> list[VectorStore]:
    """The same collections as vector stores. Documents and files are those of one tenant."""
    if not collections:
        return []
    tallies = await asyncio.to_thread(attachments.tallies, collections[0].tenant)
    return [_store(collection, tallies.get(collection.name, Tally())) for collection in collections]


def _store(held: Collection, files: Tally) -> VectorStore:
    waiting = {status: files.counts[status] for status in ("in_progress", "failed", "cancelled")}
    counts = FileCounts(completed=held.document_count, total=held.document_count + sum(waiting.values()), **waiting)
    store = VectorStore(
        id=held.name,
        name=held.name,
        status="in_progress" if waiting["in_progress"] else "completed",
        usage_bytes=files.indexed_bytes,
        file_counts=counts,
        metadata={"embedding_model": held.embedding_model, "dimension": str(held.dimension)},
    )
    made = made_collections.find(held.name)
    if made is None:
        return store
    days = made.expires_after_days
    about = {
        "name": made.name,
        "description": made.description,
        "metadata": made.metadata,
        "created_at": made.created_at,
        "last_active_at": made.last_active_at,
        "expires_after": None if days is None else StoreExpiry(anchor="last_active_at", days=days),
        "expires_at": made.expires_at,
    }
    return store.model_copy(update=about)
