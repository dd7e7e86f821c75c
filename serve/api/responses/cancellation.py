"""Cancels answers under way, on whichever replica of the API they are.

In: the name of an answer. Out: `Cancelled`, raised where the replica that generates it waits for its next event.
A replica marks what it generates by a file under PLAIT_HOME/responses/.under_way, and renews the mark while it lives.
Another replica leaves a wish under PLAIT_HOME/responses/.cancel; replicas look for wishes while they generate.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from plait.errors import InsufficientStorage
from plait.settings import settings
from plait.whole_files import full_disk_told, make_private

T = TypeVar("T")
_log = logging.getLogger("ray.serve")
_LOOK_FOR_WISHES_EVERY_S = 0.3
_RENEW_EVERY_S = 10.0
_MAX_AGE_S = 60.0  # what is older was left by a replica that was killed; clocks of machines differ by less


class Cancelled(Exception):
    """A client cancelled the answer."""


class Cancellation:
    """Whether one answer is to end."""

    def __init__(self) -> None:
        self.is_wanted = False
        self._waiting: asyncio.Timeout | None = None

    def want(self) -> None:
        """End the answer; the second time changes nothing, as a timeout that is over cannot be moved."""
        if self._waiting is not None and not self.is_wanted:
            self._waiting.reschedule(asyncio.get_running_loop().time())
        self.is_wanted = True

    async def next(self, events: AsyncGenerator[T]) -> T:
        """The next event of an answer.

        Raises:
            Cancelled: when it is to end; then its events have been closed.
            StopAsyncIteration: when it has ended.
        """
        if self.is_wanted:
            await events.aclose()
            raise Cancelled
        try:
            # A timeout ends what is waited for in this task; a task for each event would cost more than the event.
            async with asyncio.timeout(None) as self._waiting:
                return await anext(events)
        except TimeoutError:
            if not self.is_wanted:
                raise
            raise Cancelled from None
        finally:
            self._waiting = None


class UnderWay:
    """The answers that this process generates, by name. A name is safe in a path."""

    def __init__(self) -> None:
        self._answers: dict[str, Cancellation] = {}
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def entered(self, name: str) -> AsyncIterator[Cancellation]:
        """Register an answer that will be kept for as long as it is generated; not where the disk takes no mark."""
        cancellation = Cancellation()
        try:
            await asyncio.to_thread(_put, _mark(name))
        except (InsufficientStorage, OSError) as error:  # then the answer is not kept either
            _log.warning("an answer under way cannot be cancelled: %s", error)
            yield cancellation
            return
        self._answers[name] = cancellation
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield cancellation
        finally:
            del self._answers[name]
            # Not awaited: when a client leaves, whatever is awaited here would be cancelled.
            asyncio.get_running_loop().run_in_executor(None, _forget, name, cancellation.is_wanted)

    async def cancel(self, name: str) -> bool:
        """Ask for the end of an answer, here or on another replica; returns whether one generates it.

        Raises:
            InsufficientStorage: when the disk is full and another replica cannot be told.
        """
        if name in self._answers:
            self._answers[name].want()
            return True
        return await asyncio.to_thread(_wish_for, name)

    async def has(self, name: str) -> bool:
        """Whether a replica generates the answer."""
        return name in self._answers or await asyncio.to_thread(_is_marked, name)

    async def _look(self) -> None:
        can_look, renewed_at = True, time.monotonic()
        while self._answers:
            await asyncio.sleep(_LOOK_FOR_WISHES_EVERY_S)
            try:
                if time.monotonic() - renewed_at > _RENEW_EVERY_S:
                    await asyncio.to_thread(_renew, list(self._answers))
                    renewed_at = time.monotonic()
                wished = await asyncio.to_thread(_wished)
            except OSError as error:
                if can_look:
                    _log.warning("answers under way cannot be cancelled from other replicas: %s", error)
                can_look = False
                continue
            can_look = True
            for name in self._answers.keys() & wished:
                self._answers[name].want()


def forget_old() -> None:
    """Remove the marks and wishes that killed replicas left."""
    for folder in (_marks(), _wishes()):
        for file in folder.glob("*"):
            with suppress(FileNotFoundError):  # another replica removes them too
                if time.time() - file.stat().st_mtime > _MAX_AGE_S:
                    file.unlink()


def _put(file: Path) -> None:
    make_private(file.parent.parent)
    make_private(file.parent)
    with full_disk_told(file.parent):
        file.touch(mode=0o600)


def _is_marked(name: str) -> bool:
    """Whether a replica that lives generates the answer."""
    try:
        return time.time() - _mark(name).stat().st_mtime < _MAX_AGE_S
    except FileNotFoundError:
        return False


def _renew(names: Iterable[str]) -> None:
    for name in names:
        with suppress(FileNotFoundError):  # it ended this very moment
            os.utime(_mark(name))


def _wish_for(name: str) -> bool:
    is_under_way = _is_marked(name)
    if is_under_way:
        _put(_wish(name))
    return is_under_way


def _wished() -> set[str]:
    try:
        return set(os.listdir(_wishes()))
    except FileNotFoundError:
        return set()


def _forget(name: str, is_wished: bool) -> None:
    for file in (_mark(name), *([_wish(name)] if is_wished else [])):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("a mark of an answer is left: %s", error)


def _marks() -> Path:
    return settings().root / "responses" / ".under_way"


def _mark(name: str) -> Path:
    return _marks() / name


def _wishes() -> Path:
    return settings().root / "responses" / ".cancel"


def _wish(name: str) -> Path:
    return _wishes() / name
