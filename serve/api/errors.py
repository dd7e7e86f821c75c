"""Errors with a stable code and a sentence that says what to do; how their bodies look is in error_shapes.py."""

import logging
import math
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from grpc import StatusCode
from grpc.aio import AioRpcError
from ray.exceptions import RayActorError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
)
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from plait.errors import (
    InsufficientStorage,
    InvalidField,
    Overloaded,
    PlaitError,
    TooSlow,
    Unauthorized,
    Unavailable,
    did_you_mean,
    find_plait_error,
)
from plait.observability import tracing
from plait.observability.tracing import Step
from plait.serve.api.error_shapes import ErrorAnswer
from plait.serve.messages.protocol import ErrorBody
from plait.settings import settings
from plait.validation import first_problem
from plait.whole_files import is_disk_full

_log = logging.getLogger("ray.serve")
_MAX_MESSAGE = 2_000  # it may quote what was sent
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    408: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


def as_plait_error(error: Exception) -> PlaitError:
    """The sentence for an error, whatever it came wrapped in."""
    known = find_plait_error(error)
    if known is not None:
        return known
    if is_disk_full(error) or is_disk_full(getattr(error, "cause", None)):  # Ray's errors have what was raised as cause
        return InsufficientStorage("A disk of the server is full.", "Make room on it and try again.")
    if isinstance(error, BackPressureError):
        return Overloaded("Too many requests are waiting.", "Try again in a moment.")
    if isinstance(error, DeploymentUnavailableError):
        return Unavailable("The model is not loaded yet.", "Try again in a moment; GET /readyz says when it is.")
    if _is_of_a_dead_replica(error):
        _log.warning("a replica died with a request on it (%s)", " ".join(str(error).split())[:300])
        return Unavailable("The part of the server that worked on this request died, and starts anew.", "Try again.")
    _log.error("unexpected error", exc_info=error)
    return PlaitError("Something went wrong inside the server.", "Its log says what.")


def _is_of_a_dead_replica(error: Exception) -> bool:
    """Whether the process that was asked is gone, or one that it asked for its answer."""
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, RayActorError | ReplicaUnavailableError):
            return True
        # Serve makes an error of Ray's of most of these, but not of one that comes while it waits for the headers.
        if isinstance(current, AioRpcError) and current.code() in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED):
            return True
        if current is not None:
            # Only what it was raised from: an error while another one is handled is an error of its own.
            pending += [current.__cause__, getattr(current, "cause", None)]
    return False


def error_body(error: PlaitError, names_folders: bool = False) -> ErrorBody:
    """`names_folders`: for an administrator, who may know where things lie on the server."""
    field = error.field if isinstance(error, InvalidField) else ""
    kind = _KINDS.get(error.http_status, "server_error")
    message = str(error) if names_folders else without_folders(str(error))
    return ErrorBody(message=message[:_MAX_MESSAGE], type=kind, code=error.code, param=field or None)


def without_folders(message: str) -> str:
    """A message that names no folder of this server: of a path under one of its own, only the last name stays."""
    for folder in (str(settings().root), str(Path.home()), tempfile.gettempdir(), sys.prefix):
        if len(folder) > 1 and folder in message:
            message = re.sub(rf"{re.escape(folder)}(/[^\s'\"`(),:;]*)?", _last_name, message)
    return message


def _last_name(path: re.Match[str]) -> str:
    return f"…/{path[0].rstrip('/.').rpartition('/')[2]}" if path[1] else "…"


def error_response(error: PlaitError, names_folders: bool = False) -> JSONResponse:
    headers = {"Retry-After": str(math.ceil(error.retry_after_s))} if error.retry_after_s is not None else None
    if isinstance(error, Unauthorized):
        headers = {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooSlow):
        headers = {"Connection": "close"}  # nobody reads the rest of the request
    return ErrorAnswer(error.http_status, error_body(error, names_folders), headers)


def install(app: FastAPI) -> None:
    """Let an application answer every error in the shape of the API that was asked."""
    handlers: dict[type[Exception], Callable[..., Awaitable[JSONResponse]]] = {
        RequestValidationError: _on_bad_request,
        HTTPException: _on_http_error,
        PlaitError: _on_error,
        RayServeException: _on_error,
        RayActorError: _on_error,
        AioRpcError: _on_error,
        Exception: _on_bug,  # what lands here is raised once more after the answer, and so gets into the log
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    known = as_plait_error(error)
    step: Step | None = getattr(request.state, "step", None)
    if step is not None:
        tracing.fail(step.span, known.code)
    return error_response(known, names_folders=getattr(request.state, "is_admin", False))


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    response = error_response(as_plait_error(error))
    response.headers.update(getattr(request.state, "said", {}))  # it does not pass the middleware that says them
    return response


async def _on_http_error(request: Request, error: HTTPException) -> JSONResponse:
    message, headers = str(error.detail), error.headers
    if error.status_code == 404:
        message = f"There is no {request.method} {request.url.path} here. GET /docs lists what there is."
    if error.status_code == 405:
        allowed = ", ".join(_methods_of(request)) or (error.headers or {}).get("Allow", "")
        headers = {"Allow": allowed}  # Starlette's names those of one route; others have the same path
        message = f"{request.url.path} takes {allowed}, not {request.method}."
    kind = _KINDS.get(error.status_code, "invalid_request_error")
    return ErrorAnswer(error.status_code, ErrorBody(message=message, type=kind, code="http_error"), headers)


def _methods_of(request: Request) -> list[str]:
    described: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return sorted({m.upper() for route, ms in described.items() if compile_path(route)[0].match(path) for m in ms})


async def _on_bad_request(request: Request, error: RequestValidationError) -> JSONResponse:
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        reason = errors[0].get("ctx", {}).get("error", errors[0]["msg"])
        return _bad_request(f"The body is not valid JSON ({reason}).")
    if isinstance(error.body, bytes):  # FastAPI parses what says that it is JSON, and nothing else
        return _bad_request("The body is not marked as JSON. Send the header Content-Type: application/json.")
    where = errors[0]["loc"][0]
    given = error.body if where == "body" else {**request.path_params, **request.query_params}
    if where == "body" and given is None:
        return _bad_request("The request has no body. Send a JSON object.")
    of_it = [e | {"loc": e["loc"][1:]} for e in errors if e["loc"][0] == where]
    problem = first_problem(of_it, given)
    hint = ""
    if problem.is_unknown and "." not in problem.field:
        hint = did_you_mean(problem.field, _fields_of_body(request))
    return _bad_request(f"{problem} {hint}".strip(), problem.field)


def _bad_request(message: str, field: str = "") -> JSONResponse:
    return ErrorAnswer(
        400, ErrorBody(message=message, type="invalid_request_error", code="invalid_input", param=field or None)
    )


def _fields_of_body(request: Request) -> Iterable[str]:
    body = getattr(request.scope.get("route"), "body_field", None)
    return body.field_info.annotation.model_fields if body else ()
