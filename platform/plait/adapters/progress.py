"""What a training run says about itself while it runs: one JSON line a step, which its driver and others follow.

In: steps as rank 0 does them. Out: the same, whole lines only. The file lies in the run's folder, on the storage that
the run's workers and whoever follows it share. It is also what the metrics of the finished run are made from.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class StepRecord(BaseModel):
    """One optimiser step. Losses are means over labelled tokens, in nats."""

    model_config = ConfigDict(frozen=True)

    step: int
    """Steps done, from 1."""
    total_steps: int
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    tokens_per_second: float
    time_ms: int
    """Milliseconds since 1970, UTC."""
    flops_share: float
    """Share of what a large matrix product reaches on the same hardware."""
    memory_bytes: int
    """Most that a worker has held, of its GPU or resident."""
    eval_loss: float | None = None
    """Loss on held-out examples, at checkpoints."""
    general_loss: float | None = None
    """Loss on general text, at checkpoints: what training makes the model forget."""
    figures: dict[str, float] = {}
    """What the objective tells beside the loss, each a mean over its terms."""


class ProgressLog:
    """The records of a run. A run that resumed has gone over some steps twice: the later record counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, record: StepRecord) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")

    def drop_half_a_line(self) -> None:
        """Cut off what a killed writer, or a full disk, left of a last line; before the first `append` of a process."""
        if self._path.is_file():
            written = self._path.read_bytes()
            os.truncate(self._path, written.rfind(b"\n") + 1)

    def records(self) -> list[StepRecord]:
        """One record a step, in order."""
        if not self._path.is_file():
            return []
        lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]  # a line still being written is left for later
        by_step = {record.step: record for record in map(StepRecord.model_validate_json, lines)}
        return [by_step[step] for step in sorted(by_step)]
