"""Checkpoints: weights, optimiser, random state and what was measured at a step; what a run resumes from.

They lie in a folder that all workers and the driver share. Every worker writes its part under a hidden name, and only
when all parts are on the disk is the folder renamed: what has its name is whole. Data position and learning rate follow
from the step. It knows nothing of Ray.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel

from plait.adapters.progress import StepRecord
from plait.errors import PlaitError
from plait.jobs.train.held_out import Sample
from plait.jobs.train.peers import Peers
from plait.jobs.train.strategies import Strategy
from plait.whole_files import reach_disk

_STATE = "state.json"
_RECORD = "record.json"
_SAMPLES = "samples.json"
_FULL_BYTES = 2**20  # free space below which a failed write needs no other explanation


class RunState(BaseModel):
    """Where a run stands, the same for all workers."""

    step: int = 0
    """Optimiser steps done."""
    eval_losses: list[float] = []
    """Evaluation losses of the checkpoints so far."""

    def is_stale(self, patience: int | None) -> bool:
        """Whether the last `patience` evaluations brought no improvement."""
        if not patience or len(self.eval_losses) <= patience:
            return False
        return min(self.eval_losses[-patience:]) >= min(self.eval_losses[:-patience])


class Checkpoint:
    """A whole checkpoint in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def record(self) -> StepRecord:
        """What was measured at its step."""
        return StepRecord.model_validate_json((self.folder / _RECORD).read_text(encoding="utf-8"))

    @property
    def samples(self) -> list[Sample]:
        samples: list[Sample] = json.loads((self.folder / _SAMPLES).read_text(encoding="utf-8"))
        return samples

    @property
    def model_files(self) -> list[Path]:
        """The files that make up the adapter or model."""
        not_of_the_model = {_STATE, _RECORD, _SAMPLES}
        return sorted(
            file
            for file in self.folder.iterdir()
            if file.suffix in (".safetensors", ".json") and file.name not in not_of_the_model
        )

    def restore(self, strategy: Strategy, peers: Peers) -> RunState:
        """Load optimiser and random state; says where the run stands. The weights were loaded with the model."""
        strategy.restore(self.folder)
        own = self.folder / _rng_file(peers)
        if own.is_file():  # more workers than before: the new ones start from the recipe's seed
            torch.set_rng_state(torch.load(own, weights_only=True))
        return RunState.model_validate_json((self.folder / _STATE).read_text(encoding="utf-8"))


class Checkpoints:
    """The checkpoints of a run: the last one to go on from, and the best one to keep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Checkpoint]:
        """By step."""
        return [Checkpoint(folder) for folder in sorted(self._folder.glob("step-*"))]

    def latest(self) -> Checkpoint | None:
        return next(reversed(self.all()), None)

    def best(self) -> Checkpoint | None:
        """The one with the lowest evaluation loss, the earliest of equals; the latest where nothing was evaluated."""
        losses = [(c.record.eval_loss, c) for c in self.all()]
        evaluated = [(loss, c) for loss, c in losses if loss is not None]
        return min(evaluated, key=lambda pair: pair[0])[1] if evaluated else self.latest()

    def save(
        self, strategy: Strategy, state: RunState, record: StepRecord, samples: Sequence[Sample], peers: Peers
    ) -> None:
        """Write a checkpoint; every worker calls it.

        Raises:
            PlaitError: when the disk is full; the checkpoints before are whole.
        """
        name = f"step-{state.step:08}"
        aside = self._folder / f".{name}"
        try:
            if peers.rank == 0:
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir(parents=True)
            peers.wait()
            strategy.save(aside)
            torch.save(torch.get_rng_state(), aside / _rng_file(peers))
            if peers.rank == 0:
                (aside / _STATE).write_text(state.model_dump_json(), encoding="utf-8")
                (aside / _RECORD).write_text(record.model_dump_json(), encoding="utf-8")
                (aside / _SAMPLES).write_text(json.dumps(samples), encoding="utf-8")
            peers.wait()
            if peers.rank == 0:
                for path in aside.rglob("*"):
                    reach_disk(path)
                aside.rename(self._folder / name)
                self._prune()
        except Exception as error:  # torch, safetensors and DeepSpeed each say it in their own way
            if shutil.disk_usage(self._folder).free < _FULL_BYTES:
                raise disk_is_full(self._folder) from error
            raise

    def _prune(self) -> None:
        kept = {c.folder for c in (self.latest(), self.best()) if c is not None}
        for checkpoint in self.all():
            if checkpoint.folder not in kept:
                # Out of sight first: a folder that is half removed must not look like a checkpoint.
                dropped = self._folder / f".dropped-{checkpoint.folder.name}"
                checkpoint.folder.rename(dropped)
                shutil.rmtree(dropped, ignore_errors=True)


def disk_is_full(folder: Path) -> PlaitError:
    """What to say of a full disk."""
    return PlaitError(
        f"The disk of '{folder}' is full.", "Free some space and run again to go on from the last checkpoint."
    )


def _rng_file(peers: Peers) -> str:
    return f"rng-{peers.rank}.pt"
