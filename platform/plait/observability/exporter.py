"""The exporter of a node: adds up what every process of the node wrote to the metrics folder, for Prometheus.

Run as `python -m plait.observability.exporter`; one a node. It defines no metric and records none.
"""

import threading
from collections.abc import Iterable
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from plait.settings import settings


class NodeCollector(Collector):
    """Metrics of all processes of this node, the dead ones' live gauges left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._merged = MultiProcessCollector(None, path=str(folder))

    def collect(self) -> Iterable[Metric]:
        self._drop_live_gauges_of_the_dead()
        metrics: Iterable[Metric] = self._merged.collect()
        return metrics

    def _drop_live_gauges_of_the_dead(self) -> None:
        # A killed process cannot say that it has ended, so the exporter looks.
        for file in self._folder.glob("gauge_live*_*.db"):
            if not psutil.pid_exists(int(file.stem.rpartition("_")[2])):
                file.unlink(missing_ok=True)


def serve_metrics(folder: Path, bind: str, port: int) -> None:
    """Answer Prometheus on `bind:port` in a thread of this process.

    Raises:
        OSError: when the port is in use.
    """
    folder.mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    registry.register(NodeCollector(folder))
    start_http_server(port, addr=bind, registry=registry)


if __name__ == "__main__":
    serve_metrics(settings().metrics_dir, settings().bind, settings().metrics_port)
    threading.Event().wait()
