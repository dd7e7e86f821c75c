"""A real Prometheus for a test: started on a folder's prometheus.yml, asked over HTTP, ended with the test."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from plait.local.process import free_port

PATIENCE_S = 60


class Prometheus:
    """A client of the running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def values(self, query: str) -> dict[str, float]:
        """Value by label set of an instant query."""
        answer: Any = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10).json()
        return {json.dumps(r["metric"], sort_keys=True): float(r["value"][1]) for r in answer["data"]["result"]}

    def wait_for(self, query: str, expected: Callable[[float], bool]) -> float:
        """The single value of a query, as soon as it is as expected."""
        deadline = time.monotonic() + PATIENCE_S
        found: dict[str, float] = {}
        while time.monotonic() < deadline:
            found = self.values(query)
            if len(found) == 1 and expected(next(iter(found.values()))):
                return next(iter(found.values()))
            time.sleep(0.5)
        raise AssertionError(f"{query} gave {found} for {PATIENCE_S} s")


@contextmanager
def running(binary: str, folder: Path) -> Iterator[Prometheus]:
    """Prometheus on `folder/prometheus.yml`, its data in the same folder, until the block ends."""
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    server = Prometheus(f"http://{address}")
    try:
        _wait_until_ready(server.url, folder / "log")
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/-/ready", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"Prometheus did not get ready: {log.read_text()[-2000:]}")
