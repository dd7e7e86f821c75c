"""Two machines: what is promised of training, ingestion and serving holds across them, whatever becomes of one.

They are namespaces with addresses of their own where these can be made, and else two Ray nodes on loopback.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
import torch
import yaml
from safetensors.torch import load_file

from plait.adapters.registry import Registry
from plait.adapters.tracking import tracking_client
from plait.index.collection import Index, list_collections
from plait.jobs.train.progress import ProgressLog
from plait.model_ids import AdapterRef
from plait.settings import settings
from two_hosts import HEAD, OTHER, Hosts, no_namespaces, wait_until

STEPS = 240


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Hosts(isolated=no_namespaces() is None) as both:
        yield both


def test_the_hosts_have_networks_of_their_own() -> None:
    reason = no_namespaces()
    if reason is not None:
        pytest.skip(
            f"NO NETWORK NAMESPACES: they cannot be made here ({reason}). Two Ray nodes on loopback are tested; "
            "hosts with addresses of their own, and a link that is cut, are UNTESTED."
        )


# ------------------------------------------------------------ training


def train_command(name: str, base: Path, dataset: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "plait.jobs.train", "lora"),
        f"name={name}",
        f"model.source={base}",
        "model.dtype=float32",
        "adapter.dropout=0.1",  # so that the random state matters
        f"data.train={dataset}",
        "data.max_tokens=128",
        "train.epochs=1000",
        f"train.max_steps={STEPS}",
        "train.batch_size=4",
        "train.samples=0",
        "train.checkpoint_every_steps=20",
        "scale.workers=2",
        "scale.cpus_per_worker=2",  # all that a host has, so there is a worker on each
        "scale.threads_per_worker=1",
    ]


def outcome(name: str) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses and the weights of a finished run."""
    version = Registry().resolve(AdapterRef(name))
    history = tracking_client().get_metric_history(version.metadata.run_id, "loss")
    by_step = {metric.step: metric.value for metric in history}
    return [by_step[step] for step in sorted(by_step)], load_file(version.path / "adapter_model.safetensors")


def test_training_ends_at_the_same_weights_though_a_host_dies_and_the_link_is_cut(
    hosts: Hosts, tiny_model: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "train.jsonl"
    rows = [{"question": f"What is number {i}?", "answer": f"It is {7 * i}."} for i in range(50)]
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    undisturbed = hosts.run(HEAD, *train_command("hosts-undisturbed", tiny_model, dataset))
    said, _ = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, said

    run = hosts.run(HEAD, *train_command("hosts-disturbed", tiny_model, dataset))

    def wait_for_step(step: int) -> None:
        def is_there() -> bool:
            assert run.poll() is None, run.communicate()[0]
            files = settings().runs_dir.glob("hosts-disturbed-*/progress.jsonl")
            return any(record.step >= step for file in files for record in ProgressLog(file).records())

        wait_until(is_there, f"training did not get to step {step}")

    wait_for_step(30)
    assert hosts.workers(OTHER, "RayTrainWorker")
    hosts.kill(OTHER)
    wait_until(lambda: hosts.alive() == 1, "the killed host is still taken for alive")
    hosts.start(OTHER)
    if hosts.isolated:
        wait_for_step(110)
        hosts.cut()
        wait_until(lambda: not hosts.workers(OTHER, "RayTrainWorker"), "what lost the head goes on")
        wait_until(lambda: hosts.alive() == 1, "the host that was cut off is still taken for alive")
        hosts.heal()
        hosts.restart(OTHER)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 0, said

    losses, weights = outcome("hosts-disturbed")
    expected_losses, expected_weights = outcome("hosts-undisturbed")
    assert len(losses) == STEPS
    assert losses == expected_losses
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=0)


# ------------------------------------------------------------ ingestion


def contents(collection: str, uri: str) -> dict[str, tuple[str, str]]:
    rows = Index.open(collection, uri)._rows('chunk_id != ""', ["chunk_id", "source", "text"])
    found = [(row["chunk_id"], (row["source"], row["text"])) for row in rows]
    assert len(found) == len(dict(found)), "a chunk is there twice"
    return dict(found)


def test_an_index_is_whole_though_a_host_dies_under_its_ingestion(
    hosts: Hosts, tiny_embedder: Path, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(120):
        parts = [f"## Part {part}\n\nsome words number {number} in part {part}" for part in range(4)]
        (docs / f"{number:03}.md").write_text(f"# Document {number}\n\n" + "\n\n".join(parts), encoding="utf-8")

    def start(collection: str) -> object:
        recipe = {
            "collection": collection,
            "sources": [str(docs)],
            "chunk": {"max_tokens": 32},
            "embedding": {"model": str(tiny_embedder), "batch_size": 1},
        }
        file = tmp_path / f"{collection}.yaml"
        file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        return hosts.run(HEAD, sys.executable, "-m", "plait.jobs.ingest", str(file))

    undisturbed = start("hosts_undisturbed")
    said, _ = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, said
    expected = contents("hosts_undisturbed", hosts.milvus_uri)

    disturbed = start("hosts_disturbed")

    def chunks() -> int:
        assert disturbed.poll() is None, disturbed.communicate()[0]
        there = "hosts_disturbed" in list_collections(hosts.milvus_uri)
        return Index.open("hosts_disturbed", hosts.milvus_uri).stats().chunk_count if there else 0

    wait_until(lambda: chunks() > len(expected) // 10, "nothing is written")
    wait_until(lambda: bool(hosts.workers(OTHER, "MapBatches")), "nothing works on the other host")
    hosts.kill(OTHER)
    said, _ = disturbed.communicate(timeout=120)
    assert disturbed.returncode == 0, said
    assert contents("hosts_disturbed", hosts.milvus_uri) == expected
    hosts.start(OTHER)
