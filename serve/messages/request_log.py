"""What the log says about a request: one line when it has ended, and no traceback for what was to be expected.

In: what happened. Out: a record whose fields Serve writes as one line of JSON (the application asks for that), with the
ids of the request and its trace. What was asked and answered is not in it unless PLAIT_LOG_CONTENT is set.
"""

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from plait.errors import find_plait_error
from plait.observability.tracing import trace_id
from plait.serve.messages.calls import Call, Event
from plait.settings import settings

_log = logging.getLogger("ray.serve")


def say(event: str, **fields: Any) -> None:
    """Write one line: the fields beside what Serve knows, such as the deployment and its replica."""
    _log.info(event, extra={"event": event, **fields})


class RequestLog:
    """Times the generation for one request. `where`: the deployment that speaks."""

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
        say(
            "generation",
            at=self._where,
            request_id=self._call.request_id,
            trace_id=trace_id(self._call.traceparent),
            tenant=tenant or self._call.tenant,
            model=str(self._call.model),
            adapter=adapter.name if adapter else None,
            outcome=outcome,
            prompt_tokens=max((e.prompt_tokens for e in events), default=0),
            cached_tokens=max((e.cached_tokens for e in events), default=0),
            generated_tokens=sum(e.generated_tokens for e in events),
            ttft_ms=None if self._ttft_s is None else round(self._ttft_s * 1000, 1),
            duration_ms=milliseconds_since(self._started),
            **(content or {}),
        )


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


def milliseconds_since(started: float) -> float:
    """`started`: by `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 1)


def log_expected_errors_in_one_line() -> None:
    """In this replica, what a client did wrong (404, 429, 400) is a line of the log and not a traceback.

    It names the error's code and not its message, which may quote what was sent.
    """
    if not any(isinstance(f, _OneLine) for f in _log.filters):
        _log.addFilter(_OneLine())


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = find_plait_error(record.exc_info[1]) if record.exc_info else None
        if error is not None and error.http_status != 500:
            record.msg, record.args = f"refused: {error if settings().log_content else error.code}", ()
            record.__dict__ |= {"event": "refused", "outcome": error.code}
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True
