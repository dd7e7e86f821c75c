"""Training without the start of Ray Train's processes, for tests of what is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import ray.train
import torch


@contextmanager
def training_in_this_process() -> Iterator[None]:
    """Ray Train's local mode: the workers' function runs here. The start of two processes takes ten times as long."""
    threads, configured = torch.get_num_threads(), ray.train.ScalingConfig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray.train.ScalingConfig", lambda **_: configured(num_workers=0))
        yield
    torch.set_num_threads(threads)
