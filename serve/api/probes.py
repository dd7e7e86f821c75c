"""Routes that say how this server is and which: /healthz, /readyz, and vLLM's /health, /ping, /version.

They ask for no key.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from plait import __version__
from plait.serve.api.errors import as_plait_error, error_response
from plait.serve.api.openapi import errors
from plait.serve.api.services import Deployments, deployments

routes = APIRouter(tags=["probes"])
_READY_TIMEOUT_S = 5.0


class Health(BaseModel):
    status: Literal["ok", "ready"]


class Version(BaseModel):
    version: str


@routes.get("/healthz")
async def healthz() -> Health:
    """Whether this process is alive."""
    return Health(status="ok")


@routes.get("/readyz", response_model=Health, responses=errors(503))
async def readyz(there: Annotated[Deployments, Depends(deployments)]) -> Health | JSONResponse:
    """Whether a request would be answered: 200, or 503 with what is missing."""
    return await _refusal(there) or Health(status="ready")


@routes.post("/ping", response_class=Response, include_in_schema=False)
@routes.get("/ping", response_class=Response, include_in_schema=False)
@routes.get("/health", response_class=Response, responses=errors(503))
async def health(there: Annotated[Deployments, Depends(deployments)]) -> Response:
    """Whether a request would be answered, as vLLM says it: 200 with an empty body, or 503 with what is missing."""
    return await _refusal(there) or Response()


@routes.get("/version")
async def version() -> Version:
    """The version of Plait."""
    return Version(version=__version__)


async def _refusal(there: Deployments) -> JSONResponse | None:
    """The answer of a server that is not ready; None: it is."""
    try:
        await there.check_ready(_READY_TIMEOUT_S)
    except Exception as error:
        return error_response(as_plait_error(error))
    return None
