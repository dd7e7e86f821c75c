"""Which generation of an index is searched, and when it last held what its sources did.

In: open indexes. Out: what is known of them at once; the store is asked beside the questions, and not for each.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from plait.errors import CollectionNotFound, PlaitError
from plait.index.collection import Index

_ASK_EVERY_S = 30.0
_log = logging.getLogger("ray.serve")


class IndexStates:
    """The states of the indexes of one replica."""

    def __init__(self) -> None:
        self._in_step_at: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def generations(self, indexes: Sequence[Index]) -> dict[str, int]:
        """The generations of indexes, by their names, where they have one."""
        found = {index.name: index.generation_if_any for index in indexes}
        return {name: generation for name, generation in found.items() if generation is not None}

    def in_step_at(self, indexes: Sequence[Index]) -> dict[str, float]:
        """Seconds since 1970, by the names of indexes, as the store said at most half a minute before the last call."""
        for index in indexes:
            if time.monotonic() - self._asked_at.get(index.name, -_ASK_EVERY_S) >= _ASK_EVERY_S:
                self._asked_at[index.name] = time.monotonic()
                asking = asyncio.create_task(self._ask(index))
                self._asking.add(asking)
                asking.add_done_callback(self._asking.discard)
        return {index.name: self._in_step_at[index.name] for index in indexes if index.name in self._in_step_at}

    async def _ask(self, index: Index) -> None:
        try:
            found = await asyncio.to_thread(index.in_step_at)
        except CollectionNotFound:  # it was rebuilt: the next question opens the new generation
            self._asked_at.pop(index.name, None)
            return
        except PlaitError as error:
            _log.warning("the store does not say how old '%s' is (%s)", index.name, error)
            return
        if found is not None:
            self._in_step_at[index.name] = found
