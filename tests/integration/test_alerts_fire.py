"""Alerts tried for real: Prometheus scrapes a local cluster with a fault in it, and the right alert fires.

The rules are those of production with every time a hundredth of it: an hour is 36 seconds.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from changed_settings import changed_settings
from local_prometheus import Prometheus, running
from made_adapters import register_adapter

from plait.jobs.ingest.job import ingest
from plait.local.stack import metrics_addresses
from plait.observability.alert_policy import AlertPolicy
from plait.observability.monitoring_files import write_local
from plait.recipes import IngestRecipe
from plait.settings import settings

POLICY = AlertPolicy(time_scale=0.01, min_requests=20, adapter_load_failures=1, index_max_age_s=800)
CLIENTS = 24


@pytest.fixture(scope="module")
def prometheus(
    ray_cluster: None, prometheus_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("alerts")
    write_local(folder, POLICY, metrics_addresses())
    file = folder / "prometheus.yml"
    config = yaml.safe_load(file.read_text())
    config["global"]["scrape_interval"] = "500ms"
    # Ray's agent, of which no alert asks, would spend most of a processor on being read so often.
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] == "plait"]
    file.write_text(yaml.safe_dump(config))
    with running(prometheus_binary, folder) as server:
        yield server


@pytest.fixture(scope="module")
def server(ray_cluster: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One request at a time, and a pinned adapter whose weights are none."""

    from plait.serve.deploy import deploy, read_config, take_down

    kept = register_adapter("unreadable", tiny_model, tmp_path_factory.mktemp("unreadable"), seed=0)
    (kept / "adapter_model.safetensors").write_bytes(b"no weights")
    overrides = [
        f"llm.model={tiny_model}",
        "llm.dtype=float32",
        "llm.max_batch_size=1",
        f"llm.max_waiting={2 * CLIENTS}",
        "llm.pinned=[unreadable]",
        "retrieval=null",
    ]
    try:
        with changed_settings(replica_hour_price="7.2"):
            yield deploy(read_config("local", overrides), on_progress=print)
    finally:
        take_down()


def firing(alert: str, **labels: str) -> str:
    """How many of an alert fire; 0 where none does."""
    chosen = ", ".join(f'{name}="{value}"' for name, value in {"alertname": alert, **labels}.items())
    return f'count(ALERTS{{alertstate="firing", {chosen}}}) or vector(0)'


@pytest.mark.usefixtures("ingestion_in_place")
def test_an_index_is_stale_until_the_next_run(prometheus: Prometheus, recipe: IngestRecipe) -> None:
    alert = firing("PlaitIndexStale", collection=recipe.collection)
    ingest(recipe)
    assert prometheus.values(alert) == {"{}": 0}
    prometheus.wait_for(alert, lambda count: count == 1)
    ingest(recipe)
    prometheus.wait_for(alert, lambda count: count == 0)


@pytest.mark.long
def test_a_training_that_stands_still_is_told(prometheus: Prometheus, tiny_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"question": "a", "answer": "b"}\n' * 8)
    overrides = ["name=stands", f"model.source={tiny_model}", "model.dtype=float32", f"data.train={data}"]
    overrides += ["data.rehearsal_share=0", "train.kl_weight=0"]
    command = [str(Path(sys.executable).with_name("plait")), "train", "lora", *overrides, "train.epochs=100000"]
    alert = firing("PlaitTrainingStalled", adapter="stands")
    with (tmp_path / "log").open("wb") as log:
        training = subprocess.Popen(command, stdout=log, stderr=log)
    worker = None
    try:
        prometheus.wait_for('plait_train_steps_total{adapter="stands"}', lambda steps: steps > 2)
        worker = _writer_of_progress()
        assert prometheus.values(alert) == {"{}": 0}
        os.kill(worker, signal.SIGSTOP)
        prometheus.wait_for(alert, lambda count: count == 1)
    finally:
        training.kill()
        training.wait(20)
        if worker is not None:
            os.kill(worker, signal.SIGKILL)
    prometheus.wait_for(alert, lambda count: count == 0)  # what has ended does not stand


def _writer_of_progress() -> int:
    """The process that trains: the latest to write the gauge of live runs."""
    files = settings().metrics_dir.glob("gauge_livemostrecent_*.db")
    latest = max(files, key=lambda file: file.stat().st_mtime)
    return int(latest.stem.rpartition("_")[2])


def test_an_adapter_that_cannot_be_loaded_is_told_by_name(prometheus: Prometheus, server: str) -> None:
    prometheus.wait_for(firing("PlaitAdapterLoadFailing", adapter="unreadable"), lambda count: count == 1)
    assert httpx.post(f"{server}/v1/completions", json={"model": "base", "prompt": "x", "max_tokens": 2}).is_success


async def test_requests_that_miss_their_deadline_burn_the_error_budget(prometheus: Prometheus, server: str) -> None:
    page = firing("PlaitErrorBudgetBurn", severity="page")
    prometheus.wait_for(page, lambda count: count == 0)
    waited = asyncio.create_task(asyncio.to_thread(prometheus.wait_for, page, lambda count: count == 1))
    url, hurry = f"{server}/v1/completions", {"X-Request-Timeout": "0.001"}
    body = {"model": "base", "prompt": "x", "max_tokens": 4}
    statuses: set[int] = set()
    async with httpx.AsyncClient(timeout=60) as client:
        while not waited.done():
            late = await asyncio.gather(*(client.post(url, json=body, headers=hurry) for _ in range(CLIENTS)))
            statuses |= {answer.status_code for answer in late}
    await waited
    assert 504 in statuses


async def test_more_than_is_served_makes_the_queue_grow(prometheus: Prometheus, server: str) -> None:
    alert = firing("PlaitQueueGrowing")
    prometheus.wait_for(alert, lambda count: count == 0)
    waited = asyncio.create_task(asyncio.to_thread(prometheus.wait_for, alert, lambda count: count == 1))
    body = {"model": "base", "prompt": "x", "max_tokens": 200, "temperature": 0}

    async def ask_again_and_again(client: httpx.AsyncClient) -> None:
        while not waited.done():
            await client.post(f"{server}/v1/completions", json=body)

    async with httpx.AsyncClient(timeout=120) as client:
        await asyncio.gather(*(ask_again_and_again(client) for _ in range(CLIENTS)))
    await waited
    prometheus.wait_for(alert, lambda count: count == 0)  # it has been worked off


def test_what_an_answer_costs_is_known(prometheus: Prometheus, server: str) -> None:
    prometheus.wait_for("plait_llm_replicas", lambda count: count == 1)
    prometheus.wait_for("plait_replica_hour_price", lambda price: price == 7.2)
    assert httpx.post(f"{server}/v1/completions", json={"model": "base", "prompt": "x", "max_tokens": 2}).is_success
    prometheus.wait_for("plait:cost_per_answer:1h", lambda cost: cost > 0)
