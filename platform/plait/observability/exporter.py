"""The exporter of a node: adds up what every process of the node wrote to the metrics folder, for Prometheus.

Run as `python -m plait.observability.exporter`; one a node. It defines no metric and records none.
"""

import socket
import threading
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from plait.observability.metric_files import drop_files_of_ended_processes, metric_files
from plait.settings import settings


class NodeCollector(Collector):
    """Metrics of all processes of this node, the ended ones' live gauges left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        # A killed process cannot say that it has ended, so the exporter looks.
        drop_files_of_ended_processes(self._folder, only_live_gauges=True)
        try:
            return self._merge()
        except FileNotFoundError:
            # A new Ray head deleted files after they were listed. It does so once, so the second look is whole.
            return self._merge()

    def _merge(self) -> Iterable[Metric]:
        metrics: Iterable[Metric] = MultiProcessCollector.merge([str(file) for file in metric_files(self._folder)])
        return metrics


def serve_metrics(folder: Path, bind: str, port: int) -> None:
    """Answer Prometheus on `bind:port` in a thread of this process, in its text format.

    prometheus_client's own server would answer in OpenMetrics where that is preferred, and there writes `vllm_` for
    `vllm:`, so that dashboards find nothing.

    Raises:
        OSError: when the port is in use.
    """
    folder.mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    registry.register(NodeCollector(folder))

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in bind else socket.AF_INET

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = generate_latest(registry)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            """A line for every scrape would say nothing."""

    threading.Thread(target=Server((bind, port), Handler).serve_forever, daemon=True).start()


if __name__ == "__main__":
    serve_metrics(settings().metrics_dir, settings().bind, settings().metrics_port)
    threading.Event().wait()
