"""Routes that say whom can be asked: /v1/models."""

from typing import Annotated

from fastapi import APIRouter, Depends

from plait.errors import ModelNotFound, did_you_mean
from plait.serve.api.openapi import errors
from plait.serve.api.services import Services, services
from plait.serve.messages.protocol import ModelCard, ObjectList

routes = APIRouter(prefix="/v1/models", tags=["models"])


@routes.get("", responses=errors(503))
async def models(services: Annotated[Services, Depends(services)]) -> ObjectList[ModelCard]:
    """Every model id: the base model, adapters, each of them with retrieval; the models for embedding and reranking."""
    return ObjectList[ModelCard](data=await services.models())


@routes.get("/{model_id:path}", responses=errors(404, 503))
async def model(model_id: str, services: Annotated[Services, Depends(services)]) -> ModelCard:
    """One model id."""
    cards = {card.id: card for card in await services.models()}
    if model_id not in cards:
        raise ModelNotFound(f"There is no model {model_id[:80]!r}.", did_you_mean(model_id, cards))
    return cards[model_id]
