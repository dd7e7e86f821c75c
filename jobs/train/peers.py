"""The workers of a run and what they do together. Every method gives all of them the same result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Peers:
    """This worker among the others.

    Args:
        rank: its number, from 0.
        world_size: how many there are.
        device: where tensors must lie to be exchanged (NCCL wants GPUs, gloo the CPU).
    """

    rank: int
    world_size: int
    device: torch.device

    def share(self, rows: Sequence[T]) -> Sequence[T]:
        """This worker's part of a batch; empty where the batch has fewer rows than workers."""
        return rows[self.rank :: self.world_size]

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the workers."""
        return self._reduced(values, distributed.ReduceOp.SUM)

    def max(self, value: float) -> float:
        """The largest of the workers' values."""
        return self._reduced([value], distributed.ReduceOp.MAX)[0]

    def wait(self) -> None:
        """Until all workers are here."""
        self.sum(0.0)

    def _reduced(self, values: Sequence[float], operation: Any) -> list[float]:
        if self.world_size == 1:
            return list(values)
        gathered = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(gathered, operation)
        return [float(value) for value in gathered]

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sum the gradients over the workers, in one message."""
        if self.world_size == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        for parameter, total in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = total.view_as(parameter)
