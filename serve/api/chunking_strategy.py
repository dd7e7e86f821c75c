"""OpenAI's `chunking_strategy`: how a file is to be cut when it is put into a collection.

In: `auto`, which is the collection's settings, or `static` sizes in tokens of the embedding model. Out: a chunk size
for the indexer, and back again.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from plait.documents.uploads.attachments import ChunkSize
from plait.serve.api.request_body import RequestBody, does_not_fit


class AutoChunking(RequestBody):
    """The collection's settings."""

    type: Literal["auto"]

    def chunk_size(self) -> None:
        return None


class StaticSizes(RequestBody):
    max_chunk_size_tokens: int = Field(
        ge=100, le=4_096, description="Chunks get no longer than the embedding model reads, whatever stands here."
    )
    chunk_overlap_tokens: int = Field(ge=0, description="Half of max_chunk_size_tokens at most.")

    @model_validator(mode="after")
    def _overlaps_by_half_at_most(self) -> Self:
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            raise does_not_fit("chunk_overlap_tokens", "it is more than half of max_chunk_size_tokens")
        return self


class StaticChunking(RequestBody):
    type: Literal["static"]
    static: StaticSizes

    def chunk_size(self) -> ChunkSize:
        return ChunkSize(max_tokens=self.static.max_chunk_size_tokens, overlap_tokens=self.static.chunk_overlap_tokens)


ChunkingStrategy = Annotated[AutoChunking | StaticChunking, Field(discriminator="type")]


class ChunkSizes(BaseModel):
    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class OwnChunking(BaseModel):
    type: Literal["static"] = "static"
    static: ChunkSizes


class CollectionsChunking(BaseModel):
    type: Literal["other"] = "other"


FileChunking = Annotated[OwnChunking | CollectionsChunking, Field(discriminator="type")]
"""What a file is cut by: sizes of its own, or the collection's settings."""


def described(size: ChunkSize | None) -> OwnChunking | CollectionsChunking:
    if size is None:
        return CollectionsChunking()
    sizes = ChunkSizes(max_chunk_size_tokens=size.max_tokens, chunk_overlap_tokens=size.overlap_tokens)
    return OwnChunking(static=sizes)
