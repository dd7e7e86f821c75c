"""Adapters in an engine's memory: loaded when first leased, kept while leased or pinned, the least used evicted.

In: an `Adapter`. Out: a lease, during which its weights stay. Below it lie folders (the disk tier), above it the tables
of the steps, which the engine fills. It does not know how names become adapters.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from plait.engines.engine import Engine
from plait.errors import Overloaded, PlaitError, Unavailable, first_line
from plait.models.chat import ChatFormat
from plait.observability import metrics
from plait.observability.bounded_label import BoundedLabel
from plait.serve.adapters.names import Adapter

_REMEMBER_FAILURE_S = 5.0
"""An adapter that could not be loaded is not read again for so long, however many ask for it."""
_ROOM_PATIENCE_S = 30.0
"""How long a load waits for adapters in use to become free, before it is refused."""
_log = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class AdapterFolder:
    """A folder that was fetched and verified, ready to be read. `chat_format`: what its adapter was trained in."""

    path: Path
    size_bytes: int
    chat_format: ChatFormat | None = None


@dataclass(frozen=True)
class StoreLimits:
    """How many adapters may be in memory, and bytes of their weights; how many requests may wait for one; how many are
    fetched and read at the same time: each has a thread, and others need threads too."""

    max_loaded: int
    max_bytes: int
    max_waiting: int
    max_loads: int


@dataclass(eq=False)
class Resident:
    """An adapter that is loaded, or on its way. `has_room`: it counts against the limits."""

    adapter: Adapter
    leases: int = 0
    has_room: bool = False
    size_bytes: int = 0
    chat_format: ChatFormat | None = None
    loaded_at: datetime | None = None
    loading: "asyncio.Task[None]" = field(init=False, repr=False)


@dataclass(frozen=True)
class _Failure:
    error: PlaitError
    until: float


class AdapterStore:
    """The memory tier of one engine.

    Args:
        engine: reads the weights.
        prepare: from an adapter to its folder; blocks, and raises what is wrong with it.
        limits: of this tier.
    """

    def __init__(self, engine: Engine, prepare: Callable[[Adapter], AdapterFolder], limits: StoreLimits) -> None:
        self._engine, self._prepare, self._limits = engine, prepare, limits
        self._residents: OrderedDict[str, Resident] = OrderedDict()  # least recently used first
        self._pinned: frozenset[str] = frozenset()
        self._failures: dict[str, _Failure] = {}
        self._making_room = asyncio.Lock()
        self._loads = asyncio.Semaphore(limits.max_loads)
        self._left = asyncio.Event()  # a lease ended, or a pin
        self._waiting = 0
        self._label = BoundedLabel()

    @asynccontextmanager
    async def lease(self, adapter: Adapter) -> AsyncIterator[Resident]:
        """Its weights in memory for as long as the block runs. Concurrent first leases cause one load.

        Raises:
            PlaitError: what is wrong with the adapter; remembered for a few seconds.
            Overloaded: when everything in memory is in use or pinned.
        """
        self._raise_if_it_failed(adapter.key)
        resident = self._residents.get(adapter.key)
        if resident is None:
            resident = self._begin(adapter)
        resident.leases += 1
        self._residents.move_to_end(adapter.key)
        try:
            if not resident.loading.done():
                await self._loaded(resident)
            resident.loading.result()
            yield resident
        finally:
            resident.leases -= 1
            if resident.leases == 0:
                self._left.set()

    def warm(self, adapter: Adapter) -> bool:
        """Whether its weights are in memory; where they are not, they are loaded from now on.

        Raises:
            PlaitError: what kept them from being loaded a moment ago.
        """
        self._raise_if_it_failed(adapter.key)
        resident = self._residents.get(adapter.key) or self._begin(adapter)
        return resident.loaded_at is not None

    @property
    def has_room(self) -> bool:
        """Whether one more fits without an eviction."""
        return self._fits(0)

    def pin(self, keys: frozenset[str]) -> None:
        """Never evict these, whether they are loaded yet or not; others may be again."""
        self._pinned = keys
        self._left.set()

    async def drop_idle(self, keys: Iterable[str]) -> None:
        """Unload those of these adapters that nobody leases."""
        for key in keys:
            resident = self._residents.get(key)
            if resident is not None and resident.leases == 0 and resident.loaded_at is not None:
                await self._unload(resident)

    def residents(self) -> list[Resident]:
        """What is loaded."""
        return [resident for resident in self._residents.values() if resident.loaded_at is not None]

    def is_pinned(self, key: str) -> bool:
        return key in self._pinned

    def _begin(self, adapter: Adapter) -> Resident:
        resident = self._residents[adapter.key] = Resident(adapter)
        resident.loading = asyncio.create_task(self._load(resident))
        # When all who asked have left, nobody reads what went wrong.
        resident.loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return resident

    async def _loaded(self, resident: Resident) -> None:
        if self._waiting >= self._limits.max_waiting:
            raise Overloaded(f"{self._waiting} requests wait for adapters already.", "Try again in a moment.")
        self._waiting += 1
        try:
            # This does not cancel the load with its first waiter: those that came after it still want the adapter.
            await asyncio.wait([resident.loading])
        finally:
            self._waiting -= 1

    async def _load(self, resident: Resident) -> None:
        adapter, started = resident.adapter, time.perf_counter()
        outcome = "failed"
        try:
            async with self._loads:
                folder = await asyncio.to_thread(self._prepare, adapter)
            resident.chat_format = folder.chat_format
            await self._make_room(resident, folder.size_bytes)
            async with self._loads:
                await self._engine.load_adapter(adapter.key, folder.path)
            resident.size_bytes = self._engine.adapters()[adapter.key].memory_bytes
            resident.loaded_at = datetime.now(UTC)
            outcome = "loaded"
        except BaseException as error:
            if self._residents.get(adapter.key) is resident:
                del self._residents[adapter.key]
            if isinstance(error, Exception) and not isinstance(error, PlaitError):
                _log.exception("the adapter '%s' could not be loaded", adapter.name)
                error = _unexpected(adapter, error)
            if isinstance(error, PlaitError) and not isinstance(error, Overloaded):
                self._remember(adapter.key, error)
            raise error from None  # it is logged, or says all there is
        finally:
            metrics.ADAPTER_LOADS.labels(self._label(adapter.name), outcome).inc()
            metrics.ADAPTER_LOAD_SECONDS.observe(time.perf_counter() - started)

    async def _make_room(self, resident: Resident, size_bytes: int) -> None:
        try:
            async with asyncio.timeout(_ROOM_PATIENCE_S), self._making_room:
                while not self._fits(size_bytes):
                    victim = next((r for r in self._residents.values() if self._may_leave(r)), None)
                    if victim is not None:
                        await self._unload(victim)
                        metrics.ADAPTER_EVICTIONS.labels(self._label(victim.adapter.name)).inc()
                    else:
                        self._left.clear()
                        await self._left.wait()
                resident.has_room, resident.size_bytes = True, size_bytes
        except TimeoutError:
            raise Overloaded(
                f"All {sum(r.has_room for r in self._residents.values())} adapters in memory are in use or pinned.",
                "Try again in a moment, unpin one, or raise llm.max_loaded_adapters.",
            ) from None

    def _fits(self, size_bytes: int) -> bool:
        held = [r.size_bytes for r in self._residents.values() if r.has_room]
        # One adapter alone is always let in: its own limit is `max_adapter_bytes`.
        return not held or (len(held) < self._limits.max_loaded and sum(held) + size_bytes <= self._limits.max_bytes)

    def _may_leave(self, resident: Resident) -> bool:
        is_idle = resident.leases == 0 and resident.loaded_at is not None
        return is_idle and resident.adapter.key not in self._pinned

    async def _unload(self, resident: Resident) -> None:
        # First out of sight: who leases it from now on waits for a new load, which waits for this.
        del self._residents[resident.adapter.key]
        await self._engine.unload_adapter(resident.adapter.key)
        self._left.set()

    def _remember(self, key: str, error: PlaitError) -> None:
        now = time.monotonic()
        self._failures = {k: f for k, f in self._failures.items() if f.until > now}
        self._failures[key] = _Failure(error, now + _REMEMBER_FAILURE_S)

    def _raise_if_it_failed(self, key: str) -> None:
        failure = self._failures.get(key)
        if failure is not None and failure.until > time.monotonic():
            raise type(failure.error)(*failure.error.args)  # a copy: raising one again grows its traceback


def _unexpected(adapter: Adapter, error: Exception) -> Unavailable:
    """A failure that nobody foresaw, remembered like any other."""
    return Unavailable(
        f"The adapter '{adapter.name}' could not be loaded ({first_line(error)}).", "See the replica's log."
    )
