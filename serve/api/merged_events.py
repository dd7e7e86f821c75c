"""Several answers at once, as one stream of (index, event), in the order in which they come."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from plait.errors import DeadlineExceeded
from plait.serve.messages.calls import Event

Indexed = tuple[int, Event]
# The engine ends an answer at its deadline by itself, with what there is; this much later nobody waits for that.
_GRACE_S = 0.5


async def merged(streams: Sequence[AsyncGenerator[Event]]) -> AsyncGenerator[Indexed]:
    """The events of all streams; the first error ends them all, and closing this closes them."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as only:
            async for event in only:
                yield 0, event
        return
    arrived: asyncio.Queue[Indexed | Exception | None] = asyncio.Queue()

    async def forward(index: int, stream: AsyncGenerator[Event]) -> None:
        try:
            async with aclosing(stream):
                async for event in stream:
                    arrived.put_nowait((index, event))
        except Exception as error:
            arrived.put_nowait(error)
        else:
            arrived.put_nowait(None)

    tasks = [asyncio.create_task(forward(index, stream)) for index, stream in enumerate(streams)]
    try:
        running = len(tasks)
        while running:
            item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_deadline(events: AsyncGenerator[Indexed], deadline_s: float | None) -> AsyncGenerator[Indexed]:
    """Pass events on.

    Raises:
        DeadlineExceeded: when nothing was generated until the deadline; what was is passed on as it is.
    """
    async with aclosing(events):
        late = DeadlineExceeded(
            f"Nothing was generated within {deadline_s:g} s." if deadline_s is not None else "",
            "Try again later, or send a longer X-Request-Timeout.",
        )
        try:
            async with asyncio.timeout(None if deadline_s is None else deadline_s + _GRACE_S):
                first = await anext(events)
        except TimeoutError:
            raise late from None
        if first[1].finish_reason == "deadline" and not first[1].generated_tokens:
            raise late
        yield first
        async for item in events:
            yield item
