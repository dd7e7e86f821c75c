"""Every request counted, timed, logged and traced, whichever way it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

from opentelemetry import trace
from opentelemetry.trace import StatusCode

from plait.errors import ModelNotFound
from plait.observability import metrics
from plait.serve.calls import Call, Event
from plait.serve.choices import Indexed
from plait.serve.openai_errors import as_plait_error
from plait.serve.request_log import RequestLog

_tracer = trace.get_tracer("plait.serve")  # does nothing unless the process has an OpenTelemetry SDK


async def recorded(call: Call, events: AsyncIterator[Indexed]) -> AsyncGenerator[Indexed]:
    """Pass the events of a request's choices on; record time to first token, duration, tokens and outcome.

    Outcomes: `ok`, `cancelled` (the client left), or an error's code.
    """
    model, adapter = str(call.model), call.model.adapter.name if call.model.adapter else ""
    started = time.perf_counter()
    outcome = "cancelled"
    last: dict[int, Event] = {}
    log = RequestLog("ingress", call)
    span = _tracer.start_span("plait.request", attributes={"plait.request_id": call.request_id, "plait.model": model})
    metrics.REQUESTS_RUNNING.inc()
    try:
        async for index, event in events:
            if not last:
                log.first_token()
                metrics.TTFT.labels(model, adapter).observe(time.perf_counter() - started)
            last[index] = event
            yield index, event
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
        ends = list(last.values())
        generated = sum(event.generated_tokens for event in ends)
        metrics.REQUESTS_RUNNING.dec()
        metrics.REQUESTS.labels(model, adapter, outcome).inc()
        if ends:
            metrics.REQUEST_SECONDS.labels(model, adapter).observe(time.perf_counter() - started)
            metrics.PROMPT_TOKENS.labels(model, adapter).inc(ends[0].prompt_tokens)
            metrics.GENERATED_TOKENS.labels(model, adapter).inc(generated)
        log.end(outcome, ends)
        span.set_attributes({"plait.outcome": outcome, "plait.adapter": adapter, "plait.generated_tokens": generated})
        if outcome != "ok":
            span.set_status(StatusCode.ERROR, outcome)
        span.end()
