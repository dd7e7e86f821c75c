"""Train several recipes, at once where the cluster has GPUs for more than one.

In: recipes. Out: their versions. On CPUs one training takes a whole node, so that one runs after the other there. Each
of several is a process of its own: a signal ends all of them, and what they have saved is gone on with.
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from plait.adapters.registry import AdapterVersion
from plait.errors import PlaitError
from plait.jobs.train.job import train
from plait.jobs.train.prepare import prepare
from plait.recipes import TrainRecipe

_ENDS_WITHIN_S = 100.0
"""After a signal: a training saves a checkpoint first, for which it has 90 s."""


def train_all(recipes: Sequence[TrainRecipe]) -> list[AdapterVersion]:
    """The version that each recipe makes, or has made before.

    Raises:
        PlaitError: when a training fails; the others end with a checkpoint.
    """
    import ray

    for recipe in recipes[1:]:
        prepare(recipe)  # what is wrong with the last is not found out after hours of the others

    places = at_once(recipes, ray.cluster_resources())
    if places > 1:
        _train_in_processes(recipes, places)
    return [train(recipe, reuse=True) for recipe in recipes]


def at_once(recipes: Sequence[TrainRecipe], resources: Mapping[str, float]) -> int:
    """How many of the recipes are trained at once on a cluster with so much of each resource."""
    gpus = max((recipe.scale.workers * recipe.scale.gpus_per_worker for recipe in recipes), default=0.0)
    cpus = max((recipe.scale.workers * recipe.scale.cpus_per_worker for recipe in recipes), default=1.0)
    if not gpus or any(not recipe.scale.gpus_per_worker for recipe in recipes):
        return 1
    fit = min(resources.get("GPU", 0.0) // gpus, resources.get("CPU", 0.0) // cpus)
    return max(1, min(len(recipes), int(fit)))


def _train_in_processes(recipes: Sequence[TrainRecipe], places: int) -> None:
    processes = _Processes()

    def run(file: Path, recipe: TrainRecipe) -> None:
        process = processes.begun([sys.executable, "-m", "plait.jobs.train", str(file), "--reuse"])
        if process is None:
            return
        with process:
            last = _told(process, recipe.name)
        if process.returncode and processes.end():
            raise PlaitError(f"The training of {recipe.name} failed: {last}")

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(places) as pool:
        files = [Path(folder) / f"{number}.yaml" for number in range(len(recipes))]
        for file, recipe in zip(files, recipes, strict=True):
            file.write_text(recipe.model_dump_json(), encoding="utf-8")
        trainings = [pool.submit(run, file, recipe) for file, recipe in zip(files, recipes, strict=True)]
        try:
            done, _ = wait(trainings, return_when=FIRST_EXCEPTION)
            for training in done:
                training.result()
        finally:
            processes.end()


class _Processes:
    """Processes that end together."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._is_over = False

    def begun(self, command: Sequence[str]) -> "subprocess.Popen[str] | None":
        """Begin another; None when they have been asked to end."""
        with self._lock:
            if self._is_over:
                return None
            # A session of its own: a Ctrl-C reaches it once, from us.
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
            self._running.append(process)
        return process

    def end(self) -> bool:
        """Ask all to save what they have and end; no other begins. Says whether this is the first time."""
        with self._lock:
            if self._is_over:
                return False
            self._is_over = True
            running = [process for process in self._running if process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        return True


def _told(process: "subprocess.Popen[str]", name: str) -> str:
    """Pass on what a training says; returns its last line."""
    line = ""
    assert process.stdout is not None
    for line in process.stdout:
        print(f"[{name}] {line}", end="", flush=True)
    return line.strip()
