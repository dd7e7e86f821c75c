"""A checkpoint: weights, optimiser, random state and what was measured at a step; what a run resumes from.

Every worker writes its part aside; Ray Train takes the parts to the run's storage, and only then does the checkpoint
count, so a half-written one is never resumed from. Data position and learning rate follow from the step.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import ray.train
import torch
from pydantic import BaseModel

from plait.jobs.train.held_out import Sample
from plait.jobs.train.peers import Peers
from plait.jobs.train.strategies import Strategy

_STATE = "state.json"
SAMPLES = "samples.json"


_NOT_OF_THE_MODEL = {_STATE, SAMPLES}


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


@contextmanager
def written_checkpoint(
    strategy: Strategy, state: RunState, samples: Sequence[Sample], peers: Peers
) -> Iterator[ray.train.Checkpoint]:
    """Write this worker's part to a temporary folder, for `ray.train.report` to take."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        strategy.save(folder)
        torch.save(torch.get_rng_state(), folder / _rng_file(peers))
        if peers.rank == 0:
            (folder / _STATE).write_text(state.model_dump_json(), encoding="utf-8")
            (folder / SAMPLES).write_text(json.dumps(samples), encoding="utf-8")
        yield ray.train.Checkpoint.from_directory(folder)


def restore(folder: Path, strategy: Strategy, peers: Peers) -> RunState:
    """Load a checkpoint's optimiser and random state; says where the run stands."""
    strategy.restore(folder)
    own = folder / _rng_file(peers)
    if own.is_file():  # more workers than before: the new ones start from the recipe's seed
        torch.set_rng_state(torch.load(own, weights_only=True))
    return RunState.model_validate(json.loads((folder / _STATE).read_text(encoding="utf-8")))


def _rng_file(peers: Peers) -> str:
    return f"rng-{peers.rank}.pt"


def model_files(folder: Path) -> list[Path]:
    """The files of a checkpoint that make up the adapter or model."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix in (".safetensors", ".json") and file.name not in _NOT_OF_THE_MODEL
    )
