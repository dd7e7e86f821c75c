"""Whatever ends a run, the next one goes on as if nothing had happened: the same losses and, bit for bit, weights."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from local_training import training_in_this_process
from safetensors.torch import load_file
from session_processes import session_processes

from plait.adapters.progress import ProgressLog
from plait.adapters.registry import AdapterVersion
from plait.adapters.tracking import tracking_client
from plait.errors import PlaitError
from plait.jobs.train.job import train
from plait.jobs.train.prepare import prepare
from plait.recipes import TrainRecipe, load_recipe
from plait.settings import settings

pytestmark = pytest.mark.usefixtures("ray_cluster")

STEPS = 60
PATIENCE_S = 120


def fields(name: str, base: Path, dataset: Path) -> list[str]:
    return [
        f"name={name}",
        f"model.source={base}",
        "model.dtype=float32",
        "adapter.dropout=0.1",  # so that the random state matters
        f"data.train={dataset}",
        "data.max_tokens=128",
        "train.epochs=1000",
        f"train.max_steps={STEPS}",
        "train.batch_size=4",
        "train.lr=5e-3",
        "train.samples=0",
        *("data.rehearsal_share=0", "train.kl_weight=0"),  # what is resumed of it: tests/unit/jobs/train
        "train.checkpoint_every_steps=10",
        "scale.threads_per_worker=1",
    ]


@dataclass(frozen=True)
class Outcome:
    """What a finished run left."""

    losses: list[float]
    weights: dict[str, torch.Tensor]

    @classmethod
    def of(cls, version: AdapterVersion) -> "Outcome":
        history = tracking_client().get_metric_history(version.metadata.run_id, "loss")
        by_step = {metric.step: metric.value for metric in history}
        weights = load_file(version.path / "adapter_model.safetensors")
        return cls([by_step[step] for step in sorted(by_step)], weights)

    def assert_equals(self, other: "Outcome") -> None:
        assert len(self.losses) == STEPS
        assert self.losses == other.losses
        assert self.weights.keys() == other.weights.keys()
        for name, weight in other.weights.items():
            torch.testing.assert_close(self.weights[name], weight, rtol=0, atol=0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "train.jsonl"
    rows = [{"question": f"What is number {i}?", "answer": f"It is {7 * i}."} for i in range(50)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def undisturbed(ray_cluster: None, tiny_model: Path, dataset: Path) -> Outcome:
    with training_in_this_process():
        return Outcome.of(train(load_recipe(TrainRecipe, "lora", fields("undisturbed", tiny_model, dataset))))


def run_folder(recipe: TrainRecipe) -> Path:
    return settings().runs_dir / f"{recipe.name}-{prepare(recipe).key[:12]}"


def wait_for_step(folder: Path, step: int) -> None:
    log = ProgressLog(folder / "progress.jsonl")
    deadline = time.monotonic() + PATIENCE_S
    while len(log.records()) < step:
        assert time.monotonic() < deadline, f"{folder} did not get to step {step}"
        time.sleep(0.02)


def test_a_killed_worker(undisturbed: Outcome, tiny_model: Path, dataset: Path) -> None:
    recipe = load_recipe(TrainRecipe, "lora", fields("worker-killed", tiny_model, dataset))
    folder = run_folder(recipe)
    killed: list[int] = []

    def kill_a_worker_after_some_steps() -> None:
        wait_for_step(folder, 15)
        for process in session_processes():
            if "RayTrainWorker" in " ".join(process.info["cmdline"] or []):
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)

    with in_background(kill_a_worker_after_some_steps):
        version = train(recipe)
    assert killed
    Outcome.of(version).assert_equals(undisturbed)


# Each takes most of a minute. That a run goes on from its checkpoint is also seen above, with a killed worker, and in
# tests/unit/jobs/train/test_train_loop.py; what a signal does to the driver, in tests/unit/cli/test_interruption.py.
@pytest.mark.long
@pytest.mark.parametrize(
    "sign",
    [
        pytest.param(signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGINT, id="interrupted"),
        pytest.param(signal.SIGTERM, id="terminated"),
    ],
)
def test_an_ended_driver(sign: signal.Signals, undisturbed: Outcome, tiny_model: Path, dataset: Path) -> None:
    overrides = fields(f"driver-{sign.name.lower()}", tiny_model, dataset)
    recipe = load_recipe(TrainRecipe, "lora", overrides)
    command = [sys.executable, "-m", "plait.jobs.train", "lora", *overrides]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as driver:
        wait_for_step(run_folder(recipe), 15)
        os.kill(driver.pid, sign)
        said, _ = driver.communicate(timeout=PATIENCE_S)
    if sign != signal.SIGKILL:
        assert driver.returncode == 128 + sign
        assert "a checkpoint is saved. Run the same command again to go on." in said
        ours = re.compile(r"(prepare|train|plait:|stopping|starting) ")
        assert [line for line in said.splitlines() if not ours.match(line)] == []
    assert len(ProgressLog(run_folder(recipe) / "progress.jsonl").records()) < STEPS

    with training_in_this_process():
        Outcome.of(train(recipe)).assert_equals(undisturbed)


@pytest.mark.usefixtures("training_in_place")
def test_a_full_disk(undisturbed: Outcome, tiny_model: Path, dataset: Path, small_disk: Path) -> None:
    overrides = [*fields("full-disk", tiny_model, dataset), "scale.max_failures=0"]
    recipe = load_recipe(TrainRecipe, "lora", overrides)
    folder = run_folder(recipe)
    ballast = small_disk / "ballast"

    def fill_the_disk_after_some_steps() -> None:
        wait_for_step(folder, 15)
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    with in_background(fill_the_disk_after_some_steps), pytest.raises(PlaitError, match=r"disk .* is full.*run again"):
        train(recipe)
    ballast.unlink()
    Outcome.of(train(recipe)).assert_equals(undisturbed)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 8 MiB where runs keep their files."""
    folder = settings().runs_dir
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"NO SMALL DISK: it cannot be mounted here ({mounted.stderr.strip()}). A full disk is UNTESTED.")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class in_background:
    """Run a function in a thread beside the block; its failure is the block's."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._error: BaseException | None = None

        def run() -> None:
            try:
                function()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE_S)
        if self._error is not None:
            raise self._error
