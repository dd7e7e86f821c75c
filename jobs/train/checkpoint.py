"""A checkpoint: the adapter, the optimiser and the random state at a step; what a run resumes from.

Ray Train uploads the folder whole before it becomes visible, so a half-written checkpoint is never resumed from. Data
position and learning rate follow from the step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray.train
import torch

_STATE = "trainer_state.pt"


@contextmanager
def saved_checkpoint(model: Any, optimizer: torch.optim.Optimizer, step: int) -> Iterator[ray.train.Checkpoint]:
    """Write a checkpoint after `step` optimiser steps to a temporary folder, for `ray.train.report` to take."""
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        state = {"step": step, "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
        torch.save(state, Path(folder) / _STATE)
        yield ray.train.Checkpoint.from_directory(folder)


def restore_state(folder: Path, optimizer: torch.optim.Optimizer) -> int:
    """Load optimiser and random state from a checkpoint's folder; returns the number of steps done."""
    state = torch.load(folder / _STATE, weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    return int(state["step"])
