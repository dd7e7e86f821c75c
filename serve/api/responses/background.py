"""Makes answers in the background: nobody waits for them, and each is kept from its beginning on.

In: what was asked, by whom. Out: at once, the response as it is kept; once it has ended, whichever way, the whole of it
is kept in that place. An answer lives as long as the replica that makes it. It knows no HTTP.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from plait.errors import Overloaded
from plait.serve.api.asking import Asked
from plait.serve.api.errors import as_plait_error
from plait.serve.api.merged_events import Indexed
from plait.serve.api.responses.cancellation import Cancellation, Cancelled
from plait.serve.api.responses.conversations import Conversations
from plait.serve.api.responses.growing import GrowingResponse
from plait.serve.api.responses.objects import Response, Status

_RETRY_AFTER_S = 5.0


class Background:
    """The answers that one replica of the API makes in the background.

    Args:
        at_once: how many are generated at a time; the others wait, in the order in which they came.
        most_of_one: how many may wait or be generated for one owner.
    """

    def __init__(self, at_once: int, most_of_one: int) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._most_of_one = most_of_one
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_owner: Counter[str] = Counter()

    async def begin(
        self, asked: Asked, growing: GrowingResponse, conversations: Conversations, items: list[dict[str, Any]]
    ) -> Response:
        """Begin to make an answer; returns the response as it is kept now.

        Raises:
            Overloaded: when as many are made for this owner as may be.
            InsufficientStorage: when the disk is full.
            InvalidInput: when the conversation is larger than all that may be kept.
        """
        owner = conversations.owner
        if self._of_owner[owner] >= self._most_of_one:
            raise Overloaded(
                f"{self._of_owner[owner]} answers are made in the background for this key already.",
                "Wait for one of them, or cancel one.",
                retry_after_s=_RETRY_AFTER_S,
            )
        kept: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._make(asked, growing, conversations, items, kept))
        self._tasks.add(task)  # a loop holds its tasks by weak references alone
        self._of_owner[owner] += 1

        def forget(ended: asyncio.Task[None]) -> None:
            self._tasks.discard(ended)
            self._of_owner[owner] -= 1

        task.add_done_callback(forget)
        return await asyncio.shield(kept)

    async def _make(
        self,
        asked: Asked,
        growing: GrowingResponse,
        conversations: Conversations,
        items: list[dict[str, Any]],
        kept: asyncio.Future[Response],
    ) -> None:
        async with aclosing(asked.events), conversations.entered(growing.id) as cancellation:
            try:
                kept.set_result(await conversations.keep_unfinished(items, growing.response("queued")))
            except Exception as error:
                kept.set_exception(error)
                return

            writing: list[asyncio.Task[Response]] = []

            async def say_that_it_began() -> None:
                writing.append(asyncio.create_task(conversations.keep(items, growing.response("in_progress"))))
                await asyncio.shield(writing[0])

            events = _in_turn(self._turns, asked.events, say_that_it_began)
            try:
                last = growing.response(await _generated(asked, events, growing, cancellation))
            except Exception as error:
                last = growing.response("failed", as_plait_error(error))
            await asyncio.gather(*writing)  # where it was cancelled meanwhile: the last state is kept last
            await conversations.keep(items, last)


async def _generated(
    asked: Asked, events: AsyncGenerator[Indexed], growing: GrowingResponse, cancellation: Cancellation
) -> Status:
    """Let the answer grow; returns the status that it ends with."""
    try:
        while True:
            asked.answer.add(*await cancellation.next(events))
    except StopAsyncIteration:
        return growing.final_status
    except Cancelled:
        return "cancelled"


async def _in_turn(
    turns: asyncio.Semaphore, events: AsyncGenerator[Indexed], begin: Callable[[], Awaitable[None]]
) -> AsyncGenerator[Indexed]:
    """The events of an answer, once it is its turn."""
    async with aclosing(events), turns:
        await begin()
        async for event in events:
            yield event
