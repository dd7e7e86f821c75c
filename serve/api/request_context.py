"""What a request says about itself in its headers: its id and how long its client waits.

`X-Request-Id` is taken where it is sane, else made, and returned; `X-Request-Timeout` is in seconds.
"""

import math
import re
import uuid
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plait.errors import InvalidInput

ID_HEADER, TIMEOUT_HEADER = "X-Request-Id", "X-Request-Timeout"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class RequestContext:
    """`timeout_s`: from the arrival of the request; None: the server's default."""

    id: str
    timeout_s: float | None


def request_context(request: Request) -> RequestContext:
    """The context of a request that came through `RequestIds`.

    Raises:
        InvalidInput: for a timeout that is no number of seconds above 0.
    """
    timeout = request.headers.get(TIMEOUT_HEADER)
    return RequestContext(request.state.id, None if timeout is None else _seconds(timeout))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidInput(f"{TIMEOUT_HEADER} is '{text[:40]}'.", "Send a number of seconds above 0.")
    return seconds


class RequestIds:
    """ASGI middleware: every request gets an id, and every response says it, errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(ID_HEADER, "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = request_id
        # Ray Serve's proxy makes an id where the client sent none, and returns what came to us: that is said already.
        is_new = request_id != given

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start" and is_new:
                MutableHeaders(scope=message)[ID_HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)
