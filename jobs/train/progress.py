"""How a run's progress is shown to whoever waits for it: a bar, or lines.

In: the records that the run's rank 0 writes (plait.adapters.progress). Out: words on the console.
"""

import threading
from contextlib import AbstractContextManager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from plait.adapters.progress import ProgressLog, StepRecord
from plait.jobs.following import following


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
