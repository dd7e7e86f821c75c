"""Bodies of requests: how large they may be, how slowly they may come, what JSON in them may hold.

In: the pieces of a body. Out: the same, or an error, before a route has seen any of it. A JSON body is read whole here
and checked, then handed to the route; a form is counted while the route reads it. Starlette's own limit answers in
plain text, which is no error of OpenAI's.
"""

import asyncio
import re
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as HttpScope

from plait.documents.uploads import multipart, uploaded_files
from plait.errors import InvalidInput, PlaitError, TooLarge, TooSlow
from plait.serve.api.errors import error_response
from plait.serve.api.json_values import check_json
from plait.serve.messages.arguments import RequestLimits

_FILES = "/v1/files"
_PARTS = re.compile(r"/v1/uploads/[^/]+/parts")
_BATCHES = re.compile(r"/v1/embeddings|(/v[12])?/rerank|(/v1)?/score|/v1/vector_stores/[^/]+/file_batches")
_FORM_BYTES = 64 * 1024  # what a form has beside its file
_SLOWEST_BYTES_PER_S = 16 * 1024


@dataclass(frozen=True)
class _Limit:
    max_bytes: int
    what: str
    remedy: str

    def check(self, size: int) -> None:
        if size > self.max_bytes:
            raise TooLarge(self.what, self.remedy)


class BodyLimits:
    """ASGI middleware: refuses a body that is too large, too slow, or JSON that no route can take."""

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        limit = self._limit(path)
        body = _Body(receive, limit, self._limits.body_timeout_s)
        try:
            _check_announced(headers, limit)
            if _is_form(path):
                receive = body.receive
            elif _has_body(headers):
                receive = await self._checked(body, headers)
        except PlaitError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _checked(self, body: "_Body", headers: Headers) -> Receive:
        whole = await body.whole()
        if "json" in headers.get("content-type", "").lower():
            check_json(whole, self._limits.body_values)
        return body.again(whole)

    def _limit(self, path: str) -> _Limit:
        if _PARTS.fullmatch(path):
            return _Limit(
                multipart.MAX_PART_BYTES + _FORM_BYTES,
                f"The part is larger than {multipart.MAX_PART_BYTES >> 20} MiB.",
                "Send the file in smaller parts.",
            )
        if path == _FILES:
            return _Limit(
                uploaded_files.MAX_BYTES + _FORM_BYTES,
                f"The file is larger than {uploaded_files.MAX_BYTES >> 20} MiB.",
                "Bring it into the collection by plait ingest.",
            )
        name = "batch_body_bytes" if _BATCHES.fullmatch(path) else "body_bytes"
        size: int = getattr(self._limits, name)
        return _Limit(
            size, f"The body is larger than {size:,} bytes.", f"Send less, or have limits.{name} raised on the server."
        )


class _Body:
    """The pieces of one body as they come, counted and timed."""

    def __init__(self, receive: Receive, limit: _Limit, timeout_s: float) -> None:
        self._receive, self._limit, self._timeout_s = receive, limit, timeout_s
        self._size = 0
        self._is_whole = False
        self._begun = asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        if self._is_whole:  # what comes now is that the client has left
            return await self._receive()
        late = self._begun + self._timeout_s + self._size / _SLOWEST_BYTES_PER_S
        try:
            async with asyncio.timeout_at(late):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow("The body of the request did not come in time.", "Send it faster.") from None
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            self._limit.check(self._size)
        return message

    async def whole(self) -> bytes:
        pieces = []
        while not self._is_whole:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("The client left while it was sending.", "")
            pieces.append(message.get("body", b""))
        return b"".join(pieces)

    def again(self, whole: bytes) -> Receive:
        """A `receive` that gives a body that was read, and then what comes after it."""
        is_given = False

        async def receive() -> Message:
            nonlocal is_given
            if is_given:
                return await self._receive()
            is_given = True
            return {"type": "http.request", "body": whole, "more_body": False}

        return receive


def _is_form(path: str) -> bool:
    return path == _FILES or _PARTS.fullmatch(path) is not None


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _check_announced(headers: Headers, limit: _Limit) -> None:
    announced = headers.get("content-length", "0")
    if not (announced.isascii() and announced.isdigit()):
        raise InvalidInput("Content-Length is not a number.", "Send the number of bytes of the body.")
    limit.check(int(announced[:20]))
