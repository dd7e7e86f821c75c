"""Every request counted and timed, whichever way it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

from plait.errors import ModelNotFound
from plait.observability import metrics
from plait.serve.calls import Call, Event
from plait.serve.openai_errors import as_plait_error


async def recorded(call: Call, events: AsyncIterator[Event]) -> AsyncGenerator[Event]:
    """Pass events on and record time to first token, duration, tokens and outcome of their request.

    Outcomes: `ok`, `cancelled` (the client left), or an error's code.
    """
    model, adapter = str(call.model), call.model.adapter.name if call.model.adapter else ""
    started = time.perf_counter()
    outcome = "cancelled"
    last: Event | None = None
    metrics.REQUESTS_RUNNING.inc()
    try:
        async for event in events:
            if last is None:
                metrics.TTFT.labels(model, adapter).observe(time.perf_counter() - started)
            last = event
            yield event
        outcome = "ok"
    except asyncio.CancelledError:
        raise
    except Exception as error:
        known = as_plait_error(error)
        outcome = known.code
        if isinstance(known, ModelNotFound):
            model, adapter = "unknown", ""  # names that anybody may invent must not become series
        raise
    finally:
        metrics.REQUESTS_RUNNING.dec()
        metrics.REQUESTS.labels(model, adapter, outcome).inc()
        if last is not None:
            metrics.REQUEST_SECONDS.labels(model, adapter).observe(time.perf_counter() - started)
            metrics.PROMPT_TOKENS.labels(model, adapter).inc(last.prompt_tokens)
            metrics.GENERATED_TOKENS.labels(model, adapter).inc(last.generated_tokens)
