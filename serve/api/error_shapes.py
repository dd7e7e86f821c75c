"""Errors in the shape of the API that was asked: OpenAI's, or Anthropic's on its own routes.

In: what went wrong, with its HTTP status. Out: a response, which finds out by the path how its body looks.
"""

from collections.abc import Mapping
from typing import Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from plait.serve.messages.protocol import ErrorBody, ErrorResponse

ANTHROPIC = "/v1/messages"
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class AnthropicErrorDetails(BaseModel):
    """`thread_unsupported_request`: Anthropic's clients send the same again, without `thread` and with all messages."""

    error_code: Literal["thread_unsupported_request"] = "thread_unsupported_request"


class AnthropicErrorBody(BaseModel):
    """Anthropic's, with the `code` and the `param` of the same error in OpenAI's shape."""

    type: str
    message: str
    code: str
    param: str | None = None
    details: AnthropicErrorDetails | None = None


class AnthropicError(BaseModel):
    type: Literal["error"] = "error"
    error: AnthropicErrorBody
    request_id: str | None = None

    @classmethod
    def of(cls, status: int, body: ErrorBody, request_id: str | None) -> "AnthropicError":
        """The error that has another shape elsewhere."""
        kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        details = AnthropicErrorDetails() if body.param == "thread" else None
        error = AnthropicErrorBody(type=kind, message=body.message, code=body.code, param=body.param, details=details)
        return cls(type="error", error=error, request_id=request_id)


class ErrorAnswer(JSONResponse):
    """An error as its response."""

    def __init__(self, status: int, body: ErrorBody, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(ErrorResponse(error=body).model_dump(), status, headers)
        self._error = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_anthropics(scope["path"].removeprefix(scope.get("root_path", ""))):
            request_id = scope.get("state", {}).get("id")
            self.body = self.render(AnthropicError.of(self.status_code, self._error, request_id).model_dump())
            self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def is_anthropics(path: str) -> bool:
    """Whether a path is of Anthropic's API."""
    return path == ANTHROPIC or path.startswith(f"{ANTHROPIC}/")
