"""Work through many small tasks at once, and write what comes of it while it goes on.

A process that is killed loses the work of a second. It does not know what the tasks do.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from plait.evaluation.runs.run import Run

T = TypeVar("T")
_EVERY_S = 1.0


@asynccontextmanager
async def kept(run: Run) -> AsyncIterator[None]:
    """Flush a run every second while the block runs, and at its end.

    Raises:
        InsufficientStorage: when the disk is full, as soon as it is; what the block waits for is cancelled.
    """
    block = asyncio.current_task()
    assert block is not None
    flushing = asyncio.create_task(_flush(run, block))
    try:
        yield
    except asyncio.CancelledError:
        if flushing.done():
            flushing.result()  # raises what ended it
        raise
    finally:
        flushing.cancel()
        run.flush()


async def _flush(run: Run, block: "asyncio.Task[object]") -> None:
    try:
        while True:
            await asyncio.sleep(_EVERY_S)
            run.flush()
    except Exception:
        block.cancel()
        raise


async def in_turn(work: Callable[[T], Awaitable[None]], items: Iterable[T], at_once: int) -> None:
    """Do the work of each item, `at_once` under way; the first failure cancels the others and is raised."""
    left = iter(items)

    async def take() -> None:
        for item in left:
            await work(item)

    tasks = [asyncio.create_task(take()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
