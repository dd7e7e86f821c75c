"""OTLP over HTTP that says once when the collector does not take spans, and not with every batch.

Apart from tracing, which a process without a collector imports, because this needs the SDK.
"""

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_log = logging.getLogger("ray.serve")
# They write a line for each attempt, and one for each span that does not fit into the queue meanwhile.
_TALKATIVE = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")


class QuietExporter(SpanExporter):
    """Reads the standard `OTEL_EXPORTER_OTLP_*` variables."""

    def __init__(self) -> None:
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._otlp = OTLPSpanExporter()
        self._is_warned = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans. It runs in the exporter's thread: no request waits for it."""
        result = self._otlp.export(spans)
        if result is not SpanExportResult.SUCCESS and not self._is_warned:
            self._is_warned = True
            _log.warning("the collector takes no spans, they are dropped; this is said once a process")
        return result

    def shutdown(self) -> None:
        self._otlp.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._otlp.force_flush(timeout_millis)
