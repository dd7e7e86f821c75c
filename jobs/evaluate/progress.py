"""Show how far an evaluation is: a bar on a terminal, a line every few seconds elsewhere. It knows no run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_EVERY_S = 5.0


@contextmanager
def shown(title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
    """Show a step while the block runs; what it gives is called for each thing that is done.

    Args:
        title: what is done, as in "ask rag/base".
        done: how many were done before.
    """
    console = Console()
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=total, completed=done)
            yield lambda: bar.advance(task)
        return
    lines = _Lines(title, total, done)
    try:
        yield lines.advance
    finally:
        lines.say()


class _Lines:
    def __init__(self, title: str, total: int, done: int) -> None:
        self._title, self._total, self._done = title, total, done
        self._said_at = time.monotonic()

    def advance(self) -> None:
        self._done += 1
        if time.monotonic() - self._said_at >= _LINE_EVERY_S and self._done < self._total:
            self.say()

    def say(self) -> None:
        self._said_at = time.monotonic()
        print(f"{self._title}: {self._done} of {self._total}", flush=True)
