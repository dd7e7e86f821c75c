"""Two hosts with addresses of their own: a host that dies, or whose link is cut, costs time and nothing else."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from plait.adapters.registry import Registry
from plait.adapters.tracking import tracking_client
from plait.index.collection import Index
from plait.jobs.train.progress import ProgressLog
from plait.model_ids import AdapterRef
from plait.settings import settings
from two_hosts import HEAD, OTHER, Hosts, NoNamespaces, check_namespaces, wait_until

STEPS = 60


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    try:
        check_namespaces()
    except NoNamespaces as error:
        pytest.skip(f"NO NETWORK NAMESPACES: they cannot be made here ({error}). Two hosts are UNTESTED.")
    with Hosts(isolated=True) as both:
        yield both


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
        "train.checkpoint_every_steps=10",
        "scale.workers=2",
        "scale.cpus_per_worker=2",  # all of a host, so there is a worker on each
        "scale.threads_per_worker=1",
    ]
