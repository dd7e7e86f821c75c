"""A real Prometheus, configured by what `plait metrics scrape-config` prints, sees what jobs and replicas did."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import ray
from typer.testing import CliRunner

from plait.cli import app
from plait.jobs.ingest.job import ingest
from plait.jobs.train.job import train
from plait.local.process import free_port
from plait.recipes import IngestRecipe, TrainRecipe, load_recipe

PATIENCE_S = 60


@pytest.fixture(scope="session")
def prometheus_binary(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The installed Prometheus, or Debian's package unpacked into a folder: nothing is installed, no service starts."""
    installed = shutil.which("prometheus")
    if installed:
        return installed
    folder = tmp_path_factory.mktemp("prometheus")
    attempts = (["apt-get", "download", "prometheus"], ["apt-get", "update"], ["apt-get", "download", "prometheus"])
    for command in attempts:
        if shutil.which("apt-get") is None:
            break
        subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=240)
        for package in folder.glob("prometheus_*.deb"):
            subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True)
            return str(folder / "usr/bin/prometheus")
    pytest.skip(
        "NO PROMETHEUS: it is not installed, and Debian's package cannot be fetched here. Metrics are UNTESTED."
    )


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


@pytest.fixture(scope="module")
def prometheus(
    ray_cluster: None, prometheus_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    printed = CliRunner().invoke(app, ["metrics", "scrape-config", "--interval-s", "1"])
    assert printed.exit_code == 0
    folder = tmp_path_factory.mktemp("tsdb")
    (folder / "prometheus.yml").write_text(printed.stdout)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                prometheus_binary,
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


@ray.remote(num_cpus=0.1)
class Replica:
    """A process that answers requests as an ingress replica does."""

    async def answer(self, model: str, adapter: str, ttft_s: float) -> int:
        import asyncio
        from collections.abc import AsyncGenerator

        from plait.model_ids import ModelId
        from plait.serve.api.accounting import recorded
        from plait.serve.calls import Call, Event
        from plait.serve.engines.engine import Sampling

        async def events() -> AsyncGenerator[tuple[int, Event]]:
            await asyncio.sleep(ttft_s)
            yield 0, Event("a", prompt_tokens=7, generated_tokens=1)
            yield 0, Event("b", prompt_tokens=7, generated_tokens=2, finish_reason="stop")

        call = Call(ModelId.parse(model), Sampling(max_tokens=8))
        async for _ in recorded(call, events()):
            pass
        return os.getpid()


def test_both_targets_are_up(prometheus: Prometheus) -> None:
    prometheus.wait_for('up{job="plait"}', lambda value: value == 1)
    prometheus.wait_for('up{job="ray"}', lambda value: value == 1)


def test_requests_tokens_and_true_ttft_survive_a_killed_replica(prometheus: Prometheus) -> None:
    labels = '{model_name="rag/prom", adapter="prom"}'
    first, second = Replica.remote(), Replica.remote()
    answers = [(first, 0.3), (second, 0.3), (second, 0.3)]
    pids = [ray.get(r.answer.remote("rag/prom", "prom", ttft_s), timeout=PATIENCE_S) for r, ttft_s in answers]

    prometheus.wait_for(f"plait_requests_total{labels}", lambda value: value == 3)
    # Three sleeps of 0.3 s: a sum made from bucket bounds would be 0.75 or 1.5 (and no machine is on time).
    total = prometheus.wait_for(f"vllm:time_to_first_token_seconds_sum{labels}", lambda value: value > 0)
    assert 0.9 <= total < 1.5
    prometheus.wait_for(f"vllm:prompt_tokens_total{labels}", lambda value: value == 21)
    prometheus.wait_for(f"vllm:generation_tokens_total{labels}", lambda value: value == 6)

    os.kill(pids[0], signal.SIGKILL)
    psutil.wait_procs([p for p in [_process(pids[0])] if p], timeout=10)
    ray.get(second.answer.remote("rag/prom", "prom", 0.0), timeout=PATIENCE_S)
    prometheus.wait_for(f"plait_requests_total{labels}", lambda value: value == 4)
    prometheus.wait_for(f"vllm:generation_tokens_total{labels}", lambda value: value == 8)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def test_live_gauges_of_a_killed_process_drop(prometheus: Prometheus) -> None:
    @ray.remote(num_cpus=0.1)
    class Busy:
        def begin(self) -> int:
            from plait.observability import metrics

            metrics.REQUESTS_UNDER_WAY.inc(1000)
            return os.getpid()

    busy = Busy.remote()
    pid = ray.get(busy.begin.remote(), timeout=PATIENCE_S)
    prometheus.wait_for("plait_requests_running", lambda value: value >= 1000)
    os.kill(pid, signal.SIGKILL)
    prometheus.wait_for("plait_requests_running", lambda value: value < 1000)


def test_ingestion_and_training_are_seen_after_their_processes_have_ended(
    prometheus: Prometheus, tmp_path: Path, tiny_embedder: Path, tiny_model: Path, milvus: str
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"# Part {number}\n\nThe installed version is {number}.\n")
    recipe = load_recipe(
        IngestRecipe, None, ["collection=prom", f"sources=[{tmp_path}]", f"embedding.model={tiny_embedder}"]
    )
    report = ingest(recipe)
    prometheus.wait_for('plait_ingest_documents_total{collection="prom", outcome="written"}', lambda value: value == 3)
    prometheus.wait_for('plait_ingest_chunks_total{collection="prom"}', lambda value: value == report.chunks_written)

    data = tmp_path / "train.jsonl"
    data.write_text('{"question": "a", "answer": "b"}\n' * 8)
    version = train(
        load_recipe(
            TrainRecipe,
            None,
            ["name=prom", f"model.source={tiny_model}", "model.dtype=float32", f"data.train={data}", "train.epochs=3"],
        )
    )
    loss = prometheus.wait_for('plait_train_loss{adapter="prom"}', lambda value: value > 0)
    assert loss == pytest.approx(version.metadata.metrics["loss"])
    prometheus.wait_for('plait_train_tokens_per_second{adapter="prom"}', lambda value: value > 0)
    prometheus.wait_for('plait_train_steps_total{adapter="prom"}', lambda value: value == 3)
