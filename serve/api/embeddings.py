"""/v1/embeddings in OpenAI's shape: texts in, vectors out, as numbers or as base64 of little-endian float32."""

import asyncio
import base64
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from plait.errors import InvalidField
from plait.models.vectors import Vectors
from plait.serve.api.ignored_fields import IgnoredFields, NeutralInEmbeddings
from plait.serve.api.openapi import errors
from plait.serve.api.services import Services, services
from plait.serve.messages.embeddings import InputType
from plait.serve.messages.protocol import InputUsage, ObjectList

routes = APIRouter(tags=["embeddings"])
_MAX_TEXTS = 2048  # OpenAI's
_VECTORS_AT_A_TIME = 64  # are written in about 10 ms; so many texts' vectors at once take half a second


class EmbeddingRequest(IgnoredFields, NeutralInEmbeddings):
    model: str = Field(description="`embedding`, or the model source that it is served from.")
    input: str | Annotated[list[str], Field(min_length=1, max_length=_MAX_TEXTS)] = Field(
        description="One text, or several. Token ids are not accepted."
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(
        None,
        ge=1,
        description="Keeps the first so many, at unit length again; meant for models trained for it "
        "(Kusupati et al. 2022, Matryoshka representation learning, arXiv:2205.13147).",
    )
    input_type: InputType = Field(
        "passage", description="query: a text to search with, for models that tell them apart."
    )


class EmbeddingItem(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of little-endian float32."""


class EmbeddingList(ObjectList[EmbeddingItem]):
    model: str
    usage: InputUsage


@routes.post("/v1/embeddings", response_model=EmbeddingList, responses=errors(404, 503))
async def embeddings(body: EmbeddingRequest, services: Annotated[Services, Depends(services)]) -> Response:
    """Vectors of texts, of unit length."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    result = await services.embed(texts, body.input_type, body.model)
    vectors = _first_dimensions(result.vectors, body.dimensions)
    items: list[str] = []
    for i, vector in enumerate(vectors):
        written = _base64(vector) if body.encoding_format == "base64" else vector.tolist()
        items.append(EmbeddingItem(object="embedding", index=i, embedding=written).model_dump_json())
        if i % _VECTORS_AT_A_TIME == 0:
            await asyncio.sleep(0)
    usage = InputUsage(prompt_tokens=result.tokens, total_tokens=result.tokens)
    around = EmbeddingList(object="list", data=[], model=body.model, usage=usage).model_dump_json()
    return Response(around.replace("[]", f"[{','.join(items)}]", 1), media_type="application/json")


def _first_dimensions(vectors: Vectors, dimensions: int | None) -> Vectors:
    if dimensions is None:
        return vectors
    if dimensions > vectors.shape[1]:
        raise InvalidField(
            f"The model makes {vectors.shape[1]} dimensions, not {dimensions}.", "Ask for fewer.", "dimensions"
        )
    cut = vectors[:, :dimensions]
    return np.asarray(cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12), np.float32)


def _base64(vector: Vectors) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
