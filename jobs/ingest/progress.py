"""Show how far a run is: a bar on a terminal, a line every few seconds elsewhere."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from plait.jobs.following import following
from plait.jobs.ingest.ledger import Progress

_LOOK_EVERY_S = 0.5
_LINE_EVERY_S = 5.0


def shown(look: Callable[[], Progress], title: str, document_count: int) -> AbstractContextManager[None]:
    """Show what `look` returns while the block runs, and once more at its end."""
    return following(
        partial(_follow_on_terminal, look, title, document_count),
        partial(_follow_in_lines, look, title, document_count),
    )


class _Rate:
    """Chunks per second since the first were written: loading the model is no part of the speed."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def describe(self, progress: Progress) -> str:
        now = time.monotonic()
        if progress.chunks_written == 0:
            return "loading the embedding model"
        if self._first is None:
            self._first = now, progress.chunks_written
        since, chunks_then = self._first
        chunks = progress.chunks_written - chunks_then
        speed = f"  {chunks / (now - since):.0f} chunks/s" if chunks else ""
        return f"{progress.chunks_written} chunks{speed}"


def _follow_on_terminal(
    look: Callable[[], Progress], title: str, document_count: int, console: Console, stopped: threading.Event
) -> None:
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents  {task.fields[state]}"),
        TimeElapsedColumn(),
    )
    rate = _Rate()
    with Bar(*columns, console=console, redirect_stderr=False) as bar:  # that is where libraries write
        task = bar.add_task(title, total=document_count, state="starting")
        while True:
            is_last_look = stopped.wait(_LOOK_EVERY_S)
            progress = look()
            bar.update(task, completed=progress.documents_done, state=rate.describe(progress))
            if is_last_look:
                return


def _follow_in_lines(
    look: Callable[[], Progress], title: str, document_count: int, console: Console, stopped: threading.Event
) -> None:
    rate = _Rate()
    shown_before: Progress | None = None
    while True:
        is_last_look = stopped.wait(_LINE_EVERY_S)
        progress = look()
        if progress != shown_before:
            shown_before = progress
            state = rate.describe(progress)
            print(f"{title}: {progress.documents_done}/{document_count} documents  {state}", flush=True)
        if is_last_look:
            return
