"""What Ray Serve's HTTP proxy says when the replica of the API that it asked dies: an error that clients can read.

Left alone it says "Internal Server Error" with status 500, and cuts a stream that has begun; and it keeps connections
that send no request. The proxy loads this by
`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=plait.serve.proxy:middlewares`, set where Ray is started.
"""

import json
import math
import re

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plait.errors import Unavailable
from plait.serve.request_heads import close_without_heads

_DIED = Unavailable("The part of the server that worked on this request died, and starts anew.", "Try again.")
# As serve/api has them, without its imports: a proxy that starts anew starts at once.
_ERROR = {"message": str(_DIED), "code": _DIED.code, "param": None}
_OPENAIS = {"error": {"type": "server_error"} | _ERROR}
_ANTHROPICS = {"type": "error", "error": {"type": "overloaded_error"} | _ERROR}
_NUMBER = re.compile(rb'"sequence_number":\s*(\d+)')


def middlewares() -> list[Middleware]:
    """Called by the proxy when it starts."""
    close_without_heads()
    return [Middleware(UnfinishedAnswers)]


class UnfinishedAnswers:
    """ASGI middleware: ends an answer that was not begun with 503, and one that was not finished with an event."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        is_over = has_left = False
        last = b""

        async def receive_and_see() -> Message:
            nonlocal has_left
            message = await receive()
            has_left = has_left or message["type"] == "http.disconnect"
            return message

        async def send_and_see(message: Message) -> None:
            nonlocal begun, is_over, last
            if message["type"] == "http.response.start":
                begun = message
            elif message["type"] == "http.response.body":
                is_over = not message.get("more_body", False)
                last = message.get("body") or last
            await send(message)

        await self._app(scope, receive_and_see, send_and_see)
        if is_over or has_left:
            return
        if begun is None:
            for message in _refusal(scope.get("path", "")):
                await send(message)
        elif Headers(raw=begun["headers"]).get("content-type", "").startswith("text/event-stream"):
            # A chunk may have been cut in the middle; after an empty line a new event begins.
            ending = f"\n\n{_last_events(scope['path'], last)}".encode()
            await send({"type": "http.response.body", "body": ending})


def _refusal(path: str) -> tuple[Message, Message]:
    retry_after = str(math.ceil(_DIED.retry_after_s or 0)).encode()
    headers = [(b"content-type", b"application/json"), (b"retry-after", retry_after)]
    start = {"type": "http.response.start", "status": _DIED.http_status, "headers": headers}
    error = _ANTHROPICS if _is_of(path, "/v1/messages") else _OPENAIS
    return start, {"type": "http.response.body", "body": json.dumps(error).encode()}


def _last_events(path: str, last: bytes) -> str:
    """What ends a stream of the API that was asked; `last`: what was sent of it."""
    if _is_of(path, "/v1/messages"):
        return f"event: error\ndata: {json.dumps(_ANTHROPICS)}\n\n"
    if _is_of(path, "/v1/responses"):
        numbers = _NUMBER.findall(last)
        event = {"type": "error", "sequence_number": int(numbers[-1]) + 1 if numbers else 0} | _ERROR
        return f"event: error\ndata: {json.dumps(event)}\n\n"
    return f"data: {json.dumps(_OPENAIS)}\n\ndata: [DONE]\n\n"


def _is_of(path: str, api: str) -> bool:
    return path == api or path.startswith(f"{api}/")
