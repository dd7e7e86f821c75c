"""What /openapi.json says beyond the routes' own signatures: errors, and streams with the shape of their events."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from plait.serve.api.error_shapes import AnthropicError
from plait.serve.messages.protocol import ErrorResponse

_MEANINGS = {
    400: "The request cannot be answered as it is; `param` names the field.",
    401: "The API key is missing, wrong or has expired.",
    403: "This is not for this key; or for nobody, as long as there is no key for it.",
    404: "There is no such model, file or collection; the message names the nearest.",
    408: "The body did not come in time.",
    409: "Something else stands in the way; the message says what.",
    413: "The body is larger than this route takes; the message says what is.",
    429: "Too many requests wait; `Retry-After` says when to come back.",
    503: "A model is not loaded yet, or a server behind this one does not answer.",
    504: "Nothing was generated within the request's time.",
    507: "A disk of the server is full; nothing was kept of the request.",
}
_REF = "#/components/schemas/{model}"

Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """The errors that a route answers with, 400 and 500 among them."""
    described: Responses = {
        status: {"model": ErrorResponse, "description": _MEANINGS[status]} for status in (400, *statuses)
    }
    return described | {500: {"model": ErrorResponse, "description": "A fault of this server; its log says which."}}


def anthropic_errors(*statuses: int) -> Responses:
    """The same of a route of Anthropic's API, with those of its body."""
    return {status: said | {"model": AnthropicError} for status, said in errors(*statuses, 408, 413).items()}


def streamed(
    whole: type[BaseModel], chunk: str, lines: str = "`data: …`, the last of them `data: [DONE]`"
) -> Responses:
    """A route that answers whole, or with `stream: true` in events of the shape `chunk`, written as `lines` says."""
    stream = {
        "schema": {"type": "string", "description": f"Events {lines}."},
        "x-event-schema": {"$ref": _REF.format(model=chunk)},
    }
    return {200: {"model": whole, "description": "The answer.", "content": {"text/event-stream": stream}}}


def _described(status: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF.format(model=ErrorResponse.__name__)}}}
    return {"description": _MEANINGS[status], "content": content}


def describe(app: FastAPI, events: Sequence[type[BaseModel]]) -> None:
    """Let an application's OpenAPI document have the shapes of streams' events, and no error that is never sent."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _, shapes = models_json_schema([(event, "serialization") for event in events], ref_template=_REF)
            schemas = document["components"]["schemas"]
            document["components"]["schemas"] = shapes["$defs"] | schemas
            refused = {str(status): _described(status) for status in (408, 413)}
            # FastAPI describes its own answer to a bad request; ours is 400, in OpenAI's shape.
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    if "requestBody" in operation:
                        operation["responses"] = refused | operation["responses"]
                    # Where a good answer is plain text, FastAPI describes errors as plain text, too.
                    for status, response in operation["responses"].items():
                        if status >= "4" and "content" in response:
                            (content,) = response["content"].values()
                            response["content"] = {"application/json": content}
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
