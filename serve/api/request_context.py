"""What a request says about itself in its headers: its id, how long its client waits, what it is for.

`X-Request-Id` is taken where it is sane, else made; `X-Request-Timeout` is in seconds; `X-Session-Id` names the session
whose requests one version of an adapter answers; `Content-Language` is that of the question; `X-OpenWebUI-Task` says
that the client asks for itself, and any `X-OpenWebUI-…` that it is Open WebUI. The trace of a W3C `traceparent` is
continued, else one begun, and its id returned as `X-Trace-Id`.
"""

import math
import re
import time
import uuid
from dataclasses import dataclass, replace

from fastapi import Request
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plait.chat_client import TASK_HEADER
from plait.errors import InvalidInput
from plait.observability import tracing
from plait.observability.tracing import Step
from plait.serve.api import open_webui
from plait.serve.messages.request_log import milliseconds_since, say

ID_HEADER, TIMEOUT_HEADER, TRACE_HEADER = "X-Request-Id", "X-Request-Timeout", "X-Trace-Id"
SESSION_HEADER = "X-Session-Id"
_PROBES = ("/healthz", "/readyz", "/health", "/ping")
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}")
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class RequestContext:
    """`timeout_s`: from the arrival of the request; None: the server's default. `step`: the span of the request.

    `base_url`: the address by which the client reached this server, without a slash at the end. `client_task`: what a
    client asks for itself, see client_tasks.py; empty: it does not say.
    `is_from_open_webui`: see open_webui.py. `is_of_batch`: nobody waits for its answer.
    `language`: of what is asked, as in `de`; empty: the client does not say.
    `session`: what one version of an adapter answers, as the client names it.
    """

    id: str
    timeout_s: float | None
    step: Step
    base_url: str
    client_task: str = ""
    is_from_open_webui: bool = False
    is_of_batch: bool = False
    language: str = ""
    session: str = ""

    def of_what_follows(self) -> "RequestContext":
        """The context of what goes on after the request: in its trace, but no more of its span."""
        return replace(self, step=Step(INVALID_SPAN, self.step.traceparent))


async def request_context(request: Request) -> RequestContext:
    """The context of a request that came through `RequestIds`.

    Raises:
        InvalidInput: for a timeout that is no number of seconds above 0.
    """
    timeout = request.headers.get(TIMEOUT_HEADER)
    timeout_s = None if timeout is None else _seconds(timeout)
    task = request.headers.get(TASK_HEADER, "")
    is_from_open_webui = open_webui.asks(request.headers)
    language = request.headers.get("content-language", "").strip()
    return RequestContext(
        id=request.state.id,
        timeout_s=timeout_s,
        step=request.state.step,
        base_url=_base_url(request),
        client_task=task,
        is_from_open_webui=is_from_open_webui,
        is_of_batch=getattr(request.state, "is_of_batch", False),
        language=language if _LANGUAGE.fullmatch(language) else "",
        session=request.headers.get(SESSION_HEADER, ""),
    )


def _base_url(request: Request) -> str:
    """As the client wrote it; X-Forwarded-Host is not read, as anybody can send it (citations.public_url)."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        server = request.scope.get("server") or ("localhost", None)
        host = server[0] if server[1] is None else f"{server[0]}:{server[1]}"
    return f"{request.url.scheme}://{host}{request.scope.get('root_path', '').rstrip('/')}"


async def name_span(request: Request) -> None:
    """Name the span of a request after its route; a path that has none must not become a name."""
    step, route = getattr(request.state, "step", None), request.scope["route"].path
    if step is not None:
        step.span.update_name(f"{request.method} {route}")
        step.span.set_attribute("http.route", route)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidInput(f"{TIMEOUT_HEADER} is '{text[:40]}'.", "Send a number of seconds above 0.")
    return seconds


class RequestIds:
    """ASGI middleware: every request gets an id and a trace, and every response says both, errors too.

    The span of a request lasts until its answer has been sent; then its line is written to the log. Probes have
    neither: they come every few seconds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(ID_HEADER)
        request_id = given if given is not None and _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = request_id
        # Ray Serve's proxy makes an id where the client sent none, and adds what came to us to the response, whatever
        # it is: a header of ours beside it would be the second one.
        said = {ID_HEADER: request_id} if given is None else {}
        scope["state"]["said"] = said

        async def send_with_ids(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["state"]["status"] = message["status"]
                MutableHeaders(scope=message).update(said)
            await send(message)

        if scope["path"] in _PROBES:
            await self._app(scope, receive, send_with_ids)
            return
        started = time.perf_counter()
        with tracing.span(scope["method"], Headers(scope=scope).get("traceparent", ""), kind=SpanKind.SERVER) as step:
            scope["state"]["step"] = step
            said[TRACE_HEADER] = tracing.trace_id(step.traceparent)
            try:
                await self._app(scope, receive, send_with_ids)
            finally:
                _describe(step.span, scope)
                say(
                    "request",
                    at="ingress",
                    request_id=request_id,
                    trace_id=said[TRACE_HEADER],
                    method=scope["method"],
                    path=getattr(scope.get("route"), "path", None),
                    status=scope["state"].get("status"),
                    key=scope["state"].get("key_id"),
                    duration_ms=milliseconds_since(started),
                )


def _describe(span: Span, scope: Scope) -> None:
    """Say what HTTP knows about a request that has ended; one that was left early has no status."""
    host, port = scope.get("server") or ("", None)
    span.set_attributes({"http.request.method": scope["method"], "plait.request_id": scope["state"]["id"]})
    span.set_attributes({"server.address": host, "server.port": port or 0})
    if "status" in scope["state"]:
        span.set_attribute("http.response.status_code", scope["state"]["status"])
