"""A real Prometheus, configured by what `plait metrics scrape-config` prints, sees what jobs and replicas did."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
import yaml
from local_prometheus import PATIENCE_S, Prometheus, running
from typer.testing import CliRunner

from plait.cli import app
from plait.index.stores.store import Store
from plait.jobs.ingest.job import ingest
from plait.jobs.train.job import train
from plait.recipes import IngestRecipe, TrainRecipe, load_recipe


@pytest.fixture(scope="module")
def prometheus(
    ray_cluster: None, prometheus_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    printed = CliRunner().invoke(app, ["metrics", "scrape-config", "--interval-s", "1"])
    assert printed.exit_code == 0
    folder = tmp_path_factory.mktemp("tsdb")
    config = yaml.safe_load(printed.stdout)
    for job in config["scrape_configs"]:
        if job["job_name"] == "ray":  # whose agent would spend much of a processor on being read every second
            job["scrape_interval"] = "10s"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with running(prometheus_binary, folder) as server:
        yield server


@ray.remote(num_cpus=0.1)
class Replica:
    """A process that answers requests as an ingress replica does."""

    async def answer(self, model: str, adapter: str, ttft_s: float) -> int:
        import asyncio
        from collections.abc import AsyncGenerator

        from plait.engines.engine import Sampling
        from plait.model_ids import ModelId
        from plait.serve.api.accounting import recorded
        from plait.serve.messages.calls import Call, Event

        async def events() -> AsyncGenerator[tuple[int, Event]]:
            await asyncio.sleep(ttft_s)
            yield 0, Event("a", prompt_tokens=7, generated_tokens=1)
            yield 0, Event("b", prompt_tokens=7, generated_tokens=2, finish_reason="stop")

        call = Call(ModelId.parse(model), Sampling(max_tokens=8))
        async for _ in recorded([call], events()):
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
    prometheus: Prometheus, tmp_path: Path, tiny_embedder: Path, tiny_model: Path, milvus: Store
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
    last = pytest.approx(version.metadata.metrics["loss"])  # a scrape may have seen the steps before
    prometheus.wait_for('plait_train_loss{adapter="prom"}', lambda value: value == last)
    prometheus.wait_for('plait_train_tokens_per_second{adapter="prom"}', lambda value: value > 0)
    prometheus.wait_for('plait_train_steps_total{adapter="prom"}', lambda value: value == 3)
