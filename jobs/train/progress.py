"""What a run says about itself while it runs: one JSON line a step, written by rank 0, followed by the driver.

The file lies in the run's folder, on the storage that the run's workers and its driver share. It is also what the
metrics of the finished run are made from.
"""

import os
import threading
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from plait.jobs.following import following


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


def shown(log: ProgressLog, title: str, interval_s: float = 1.0) -> AbstractContextManager[None]:
    """Show a run's progress while the block runs: a bar on a terminal, a line every 10 steps elsewhere."""
    return following(
        partial(_follow_on_terminal, log, title, interval_s), partial(_follow_in_lines, log, title, interval_s)
    )


def _follow_on_terminal(
    log: ProgressLog, title: str, interval_s: float, console: Console, stopped: threading.Event
) -> None:
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, redirect_stderr=False) as progress:  # that is where libraries write
        task = progress.add_task(title, total=None, state="starting workers")
        while True:
            is_last_look = stopped.wait(interval_s)
            if records := log.records():
                latest = records[-1]
                progress.update(task, total=latest.total_steps, completed=latest.step, state=_describe(latest))
            if is_last_look:
                return


def _follow_in_lines(
    log: ProgressLog, title: str, interval_s: float, console: Console, stopped: threading.Event
) -> None:
    shown_step = 0
    while True:
        is_last_look = stopped.wait(interval_s)
        records = log.records()
        for record in records:
            is_milestone = (
                record.step % 10 == 0 or record.step in (1, record.total_steps) or record.eval_loss is not None
            )
            if record.step > shown_step and is_milestone:
                shown_step = record.step
                left = f"{_time_left_s(records):.0f} s left"
                print(f"{title}: step {record.step}/{record.total_steps}  {_describe(record)}  {left}", flush=True)
        if is_last_look:
            return


def _describe(record: StepRecord) -> str:
    evaluated = f"  eval loss {record.eval_loss:.3f}" if record.eval_loss is not None else ""
    return (
        f"loss {record.loss:.3f}{evaluated}  {record.tokens_per_second:.0f} tokens/s "
        f"({record.flops_share:.0%} of peak)  {record.memory_bytes / 2**30:.1f} GiB"
    )


def _time_left_s(records: list[StepRecord]) -> float:
    """From the pace of the last steps."""
    last = records[-1]
    pace_s = [r.tokens / r.tokens_per_second for r in records[-10:]]
    return (last.total_steps - last.step) * sum(pace_s) / len(pace_s)
