"""The documentation of the metrics and their definitions name the same metrics."""

import re
from pathlib import Path

import prometheus_client

from plait.observability import metrics

PAGE = Path(__file__).parents[3] / "docs/metrics.md"


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    defined = {
        metric._name + ("_total" if isinstance(metric, prometheus_client.Counter) else "")
        for metric in vars(metrics).values()
        if isinstance(metric, prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram)
    }
    documented = set(re.findall(r"`((?:plait_|vllm:)\w+)`", PAGE.read_text(encoding="utf-8")))
    assert defined == documented
