"""OpenTelemetry traces: what every process of a request says about its part, and the id that ties the parts together.

In: W3C `traceparent` texts, which travel with a request from process to process. Out: spans, exported by OTLP over HTTP
once `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. Without that a request still has a
trace id, for responses and logs, and no SDK is imported. Nothing here knows what a request is about.
"""

import logging
import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from plait.errors import find_plait_error

Attributes = Mapping[str, str | bool | int | float]

_log = logging.getLogger("ray.serve")
# Version 00 ends after the flags, version ff is none, later ones may go on.
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@dataclass(frozen=True)
class Step:
    """A span under way. `traceparent`: what makes other spans its children, in this process or in another."""

    span: Span
    traceparent: str


def is_configured() -> bool:
    """Whether the environment says where spans go."""
    is_off = os.environ.get("OTEL_TRACES_EXPORTER") == "none" or os.environ.get("OTEL_SDK_DISABLED") == "true"
    return not is_off and any(os.environ.get(name) for name in _ENDPOINTS)


def configure(service: str) -> None:
    """Export this process's spans from now on, as those of `plait-SERVICE`, where the environment says where to.

    Spans go out from a thread of their own, in batches; what does not fit into its queue is dropped. A process that has
    an OpenTelemetry SDK already keeps it.
    """
    if not is_configured() or _is_on():
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from plait.observability.span_exporter import QuietExporter

    name = os.environ.get("OTEL_SERVICE_NAME") or f"plait-{service}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(QuietExporter()))
    trace.set_tracer_provider(provider)
    _log.info("traces are exported as %s", name)


def trace_id(traceparent: str) -> str:
    """The trace that a `traceparent` belongs to: 32 hexadecimal digits, or nothing when it is not a valid one."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else ""


@contextmanager
def span(
    name: str, parent: str, attributes: Attributes | None = None, kind: SpanKind = SpanKind.INTERNAL
) -> Iterator[Step]:
    """A span around what is done inside; an error that leaves it gives it `error.type`, and never its message.

    `parent`: a `traceparent`; one that is not valid begins a new trace. The span is not made current: what is done
    inside may be a generator, which several tasks advance.
    """
    if not _is_on():
        yield Step(trace.INVALID_SPAN, parent if trace_id(parent) else _new_traceparent())
        return
    begun = _tracer().start_span(name, _context(parent), kind, dict(attributes or {}))
    try:
        yield Step(begun, _traceparent(begun.get_span_context()))
    except BaseException as error:
        known = find_plait_error(error)
        fail(begun, known.code if known else "cancelled" if not isinstance(error, Exception) else type(error).__name__)
        raise
    finally:
        begun.end()


def fail(span: Span, error_type: str) -> None:
    """Say that what a span is about did not succeed."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def add_finished(name: str, parent: str, took_s: float) -> None:
    """A span that ends now and began `took_s` ago."""
    if _is_on():
        now = time.time_ns()
        _tracer().start_span(name, _context(parent), start_time=now - int(took_s * 1e9)).end(now)


def _is_on() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _tracer() -> trace.Tracer:
    return trace.get_tracer("plait")


def _context(traceparent: str) -> Context:
    """Only what `traceparent` says: a span that happens to be current here is no parent."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return Context()
    flags = TraceFlags(int(match[3], 16) & TraceFlags.SAMPLED)
    parent = SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _traceparent(context: SpanContext) -> str:
    if not context.is_valid:  # an SDK that is switched off
        return _new_traceparent()
    sampled = context.trace_flags & TraceFlags.SAMPLED
    return f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}-{sampled:02x}"


def _new_traceparent() -> str:
    """One of a trace that nobody records."""
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-00"
