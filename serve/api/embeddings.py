"""/v1/embeddings in OpenAI's shape: texts in, vectors out, as numbers or as base64 of little-endian float32.

What becomes of a text that is longer than the model reads is said as vLLM, Cohere and TEI say it, or by `long_texts`.
"""

import asyncio
import base64
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, model_validator

from plait.errors import InvalidField
from plait.models.long_texts import LongTexts, Treatment
from plait.models.vectors import Vectors
from plait.serve.api.ignored_fields import IgnoredFields, NeutralInEmbeddings
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import does_not_fit
from plait.serve.api.services import Services, services
from plait.serve.messages.arguments import EmbeddingArguments
from plait.serve.messages.embeddings import Input, InputType
from plait.serve.messages.protocol import InputUsage, ObjectList

routes = APIRouter(tags=["embeddings"])
_MAX_TEXTS = 2048  # OpenAI's
_VECTORS_AT_A_TIME = 64  # are written in about 10 ms; so many texts' vectors at once take half a second


TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Text = TypeVar("_Text")
_Several = Annotated[list[_Text], Field(min_length=1, max_length=_MAX_TEXTS)]


class EmbeddingRequest(IgnoredFields, NeutralInEmbeddings):
    model: str = Field(description="`embedding`, or the model source that it is served from.")
    input: str | _Several[str] | TokenIds | _Several[TokenIds] = Field(
        description="One text, or several; or the tokens that the embedding model's own tokenizer makes of them."
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
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="vLLM's: cuts each text to so many tokens, special ones included; -1: to what is read."
    )
    truncation_side: Literal["left", "right"] | None = Field(None, description="vLLM's: where it is cut; right.")
    truncate: Literal["NONE", "START", "END"] | bool | None = Field(
        None, description="Cohere's: the end at which a longer text is cut to what the model reads; TEI's: true."
    )
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = Field(
        None, description="TEI's: where it is cut; right."
    )
    long_texts: Treatment | None = Field(
        None,
        description="A longer text is refused, cut at its end, or read in windows, of whose vectors it has the mean, "
        "weighted by their tokens. null: as the server is configured.",
    )

    @model_validator(mode="after")
    def _says_one_thing_of_long_texts(self) -> Self:
        wishes = ("truncate_prompt_tokens", "truncate", "long_texts")
        given = [name for name in wishes if getattr(self, name) is not None]
        if len(given) > 1:
            raise does_not_fit(given[1], f"{given[0]} and {given[1]} exclude each other")
        sides = self._sides
        if len(set(sides.values())) > 1:
            first = next(iter(sides))
            second = next(name for name, side in sides.items() if side != sides[first])
            raise does_not_fit(second, f"{first} and {second} name different ends of a text")
        if self.long_texts == "mean" and "left" in sides.values():
            (side,) = list(sides)[:1]
            raise does_not_fit(side, f'{side} says where a text is cut, and long_texts: "mean" cuts none')
        return self

    @property
    def _sides(self) -> dict[str, str]:
        """The fields that say at which side a text is cut, each with `left` or `right`."""
        of_truncate = {"START": "left", "END": "right"}.get(str(self.truncate))
        direction = self.truncation_direction and self.truncation_direction.lower()
        sides = {
            "truncate": of_truncate,
            "truncation_side": self.truncation_side,
            "truncation_direction": direction,
        }
        return {name: side for name, side in sides.items() if side is not None}

    @property
    def inputs(self) -> list[Input]:
        """The texts, one by one."""
        given: Any = self.input
        if isinstance(given, str) or isinstance(given[0], int):
            given = [given]
        return [each if isinstance(each, str) else tuple(each) for each in given]

    def of_long_texts(self, default: Treatment) -> LongTexts:
        """What becomes of long texts; `default`: where the request says no more than the side."""
        keeps_end = "left" in self._sides.values()
        if self.truncate_prompt_tokens is not None:
            most = None if self.truncate_prompt_tokens == -1 else self.truncate_prompt_tokens
            return LongTexts("cut", most, keeps_end)
        if self.truncate is not None:
            return LongTexts("refuse" if self.truncate in ("NONE", False) else "cut", None, keeps_end)
        return LongTexts(self.long_texts or default, None, keeps_end)


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
    configured = services.arguments.embedding or EmbeddingArguments()
    long_texts = body.of_long_texts(configured.long_texts)
    result = await services.embed(body.inputs, body.input_type, body.model, long_texts)
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
