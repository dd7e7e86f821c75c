"""Routes that say what there is: /healthz, /readyz, /v1/models."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from plait.errors import ModelNotFound, Unavailable, did_you_mean
from plait.serve.api.errors import as_plait_error, error_response
from plait.serve.api.openapi import errors
from plait.serve.api.services import Services, services
from plait.serve.protocol import ModelCard, ModelList

routes = APIRouter(tags=["status"])
_READY_TIMEOUT_S = 5.0


class Health(BaseModel):
    status: Literal["ok", "ready"]


@routes.get("/healthz")
async def healthz() -> Health:
    """Whether this process is alive."""
    return Health(status="ok")


@routes.get("/readyz", response_model=Health, responses=errors(503))
async def readyz(asked: Annotated[Services, Depends(services)]) -> Health | JSONResponse:
    """Whether a request would be answered: 200, or 503 with what is missing."""
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            await asked.is_ready()
    except TimeoutError:
        return error_response(Unavailable("The model is not loaded yet.", "Try again in a moment."))
    except Exception as error:
        return error_response(as_plait_error(error))
    return Health(status="ready")


@routes.get("/v1/models", responses=errors(503))
async def models(asked: Annotated[Services, Depends(services)]) -> ModelList:
    """Every model id: the base model, adapters, each of them with retrieval; the models for embedding and reranking."""
    return ModelList(data=await asked.models())


@routes.get("/v1/models/{model_id:path}", responses=errors(404, 503))
async def model(model_id: str, asked: Annotated[Services, Depends(services)]) -> ModelCard:
    """One model id."""
    cards = {card.id: card for card in await asked.models()}
    if model_id not in cards:
        raise ModelNotFound(f"There is no model '{model_id}'.", did_you_mean(model_id, cards))
    return cards[model_id]
