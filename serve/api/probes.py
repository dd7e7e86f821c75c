"""Routes that say how this server is: /healthz, /readyz. They ask for no key."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from plait.serve.api.errors import as_plait_error, error_response
from plait.serve.api.openapi import errors
from plait.serve.api.services import Deployments, deployments

routes = APIRouter(tags=["probes"])
_READY_TIMEOUT_S = 5.0


class Health(BaseModel):
    status: Literal["ok", "ready"]


@routes.get("/healthz")
async def healthz() -> Health:
    """Whether this process is alive."""
    return Health(status="ok")


@routes.get("/readyz", response_model=Health, responses=errors(503))
async def readyz(there: Annotated[Deployments, Depends(deployments)]) -> Health | JSONResponse:
    """Whether a request would be answered: 200, or 503 with what is missing."""
    try:
        await there.check_ready(_READY_TIMEOUT_S)
    except Exception as error:
        return error_response(as_plait_error(error))
    return Health(status="ready")
