"""What the exporter adds up, and what it leaves out."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from plait.local.process import free_port
from plait.observability.exporter import NodeCollector, serve_metrics
from plait.observability.metric_files import drop_files_of_ended_processes
from plait.observability.scrape_config import reachable, scrape_config
from plait.settings import Settings

RECORD = """
from plait.observability import metrics
metrics.REQUESTS.labels(model_name="base", adapter="", outcome="ok").inc(2)
metrics.TTFT.labels(model_name="base", adapter="").observe(0.4)
metrics.REQUESTS_UNDER_WAY.inc(5)
metrics.TRAIN_LOSS.labels(adapter="a").set({loss})
"""


def record(home: Path, loss: float, before: str = "") -> int:
    """Let another process record and end; returns its id."""
    process = subprocess.Popen(
        [sys.executable, "-c", before + RECORD.format(loss=loss)],
        env={**os.environ, "PLAIT_HOME": str(home)},
    )
    assert process.wait(60) == 0
    return process.pid


def metrics_folder(home: Path) -> Path:
    """Where processes of this machine write under a PLAIT_HOME."""
    return Settings(home=home).metrics_dir


def scrape(home: Path) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(NodeCollector(metrics_folder(home)))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_ended_processes_count_on_and_their_live_gauges_do_not(tmp_path: Path) -> None:
    record(tmp_path, loss=2.0)
    record(tmp_path, loss=1.5)
    found = scrape(tmp_path)
    assert found['plait_requests_total{adapter="",model_name="base",outcome="ok"}'] == 4
    assert found['vllm:time_to_first_token_seconds_sum{adapter="",model_name="base"}'] == pytest.approx(0.8)
    assert found['vllm:time_to_first_token_seconds_count{adapter="",model_name="base"}'] == 2
    assert found['plait_train_loss{adapter="a"}'] == 1.5
    assert "plait_requests_running" not in found


@pytest.mark.parametrize("library", ["import prometheus_client\n", "from prometheus_client import Counter\n"])
def test_metrics_reach_the_exporter_whoever_imported_prometheus_client_first(tmp_path: Path, library: str) -> None:
    record(tmp_path, loss=1.0, before=library)
    assert scrape(tmp_path)['plait_requests_total{adapter="",model_name="base",outcome="ok"}'] == 2


def test_a_file_that_was_never_begun_does_not_break_the_others(tmp_path: Path) -> None:
    record(tmp_path, loss=1.0)
    (metrics_folder(tmp_path) / "counter_999999.db").touch()  # its process was killed between making and filling it
    (metrics_folder(tmp_path) / "other.db").write_bytes(b"what is this")
    assert scrape(tmp_path)['plait_requests_total{adapter="",model_name="base",outcome="ok"}'] == 2


def test_a_live_gauge_of_an_id_that_somebody_else_has_now_is_dropped(tmp_path: Path) -> None:
    pid = record(tmp_path, loss=1.0)
    folder = metrics_folder(tmp_path)
    gauge = (folder / f"gauge_livesum_{pid}.db").rename(folder / f"gauge_livesum_{os.getpid()}.db")
    assert scrape(tmp_path)["plait_requests_running"] == 5  # as far as anybody can tell, this process wrote it
    hours_ago = time.time() - 10_000
    os.utime(gauge, (hours_ago, hours_ago))
    assert "plait_requests_running" not in scrape(tmp_path)
    assert not gauge.exists()


def test_a_new_head_forgets_ended_processes_only(tmp_path: Path) -> None:
    pid = record(tmp_path, loss=1.0)
    folder = metrics_folder(tmp_path)
    mine = folder / f"counter_{os.getpid()}.db"
    mine.write_bytes((folder / f"counter_{pid}.db").read_bytes())
    foreign = folder / "notes.db"
    foreign.touch()
    drop_files_of_ended_processes(folder)
    assert set(folder.iterdir()) == {mine, foreign}


@pytest.mark.parametrize(
    ("listens", "called"),
    [
        ("127.0.0.1:9464", "127.0.0.1:9464"),
        ("0.0.0.0:9464", "127.0.0.1:9464"),
        (":::9464", "[::1]:9464"),
        ("::1:9464", "[::1]:9464"),
        ("10.0.0.5:9464", "10.0.0.5:9464"),
    ],
)
def test_prometheus_is_given_an_address_that_it_can_call(listens: str, called: str) -> None:
    assert reachable(listens) == called
    assert f"- {called}" in scrape_config({"plait": listens}).replace("'", "")


def test_names_keep_their_colons_whatever_format_is_preferred(tmp_path: Path) -> None:
    record(tmp_path, loss=2.0)
    port = free_port()
    serve_metrics(metrics_folder(tmp_path), "127.0.0.1", port)
    preferred = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    page = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=preferred, timeout=10)
    assert page.headers["content-type"].startswith("text/plain")
    assert "vllm:time_to_first_token_seconds_count" in page.text
