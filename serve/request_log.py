"""What the log says about a request: one line of JSON when it has ended, and no traceback for what was to be expected.

In: a call and its events. Out: the line, with the ids of the request and its trace, from the ingress and from the
replica that generated. What was asked and answered is not in it unless PLAIT_LOG_CONTENT is set.
"""

import json
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from plait.errors import find_plait_error
from plait.observability.tracing import trace_id
from plait.serve.calls import Call, Event

_log = logging.getLogger("ray.serve")


class RequestLog:
    """Times one request. `where`: the deployment that speaks."""

    def __init__(self, where: str, call: Call) -> None:
        self._where, self._call = where, call
        self._started = time.perf_counter()
        self._ttft_s: float | None = None

    def first_token(self) -> None:
        self._ttft_s = time.perf_counter() - self._started

    def end(
        self, outcome: str, events: list[Event], tenant: str | None = None, content: dict[str, str] | None = None
    ) -> None:
        """Write the line; `events`: the last one of every choice. `content`: what was asked and answered, if wanted."""
        adapter = self._call.model.adapter
        line = {
            "event": "request",
            "at": self._where,
            "request_id": self._call.request_id,
            "trace_id": trace_id(self._call.traceparent),
            "tenant": tenant or self._call.tenant,
            "model": str(self._call.model),
            "adapter": adapter.name if adapter else None,
            "outcome": outcome,
            "prompt_tokens": max((e.prompt_tokens for e in events), default=0),
            "cached_tokens": max((e.cached_tokens for e in events), default=0),
            "generated_tokens": sum(e.generated_tokens for e in events),
            "ttft_ms": None if self._ttft_s is None else round(self._ttft_s * 1000, 1),
            "duration_ms": round((time.perf_counter() - self._started) * 1000, 1),
        }
        _log.info(json.dumps(line | (content or {})))


async def logged(where: str, call: Call, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """Pass the events of one call on, and write its line when they end."""
    log = RequestLog(where, call)
    outcome = "cancelled"
    last: Event | None = None
    try:
        async with aclosing(events):
            async for event in events:
                if last is None:
                    log.first_token()
                last = event
                yield event
        outcome = "ok"
    except Exception as error:
        known = find_plait_error(error)
        outcome = known.code if known else "failed"
        raise
    finally:
        log.end(outcome, [last] if last else [])


def log_expected_errors_in_one_line() -> None:
    """In this replica, what a client did wrong (404, 429, 400) is a line of the log and not a traceback."""
    if not any(isinstance(f, _OneLine) for f in _log.filters):
        _log.addFilter(_OneLine())


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = find_plait_error(record.exc_info[1]) if record.exc_info else None
        if error is not None and error.http_status != 500:
            record.msg, record.args = f"refused ({error.code}): {error}", ()
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True
