"""The memory tier: what is loaded once, kept, evicted, refused, on an engine that only remembers what it was told."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plait.engines.engine import LoadedAdapter
from plait.errors import InvalidInput, Overloaded, Unavailable
from plait.serve.adapters import store as store_module
from plait.serve.adapters.names import Adapter
from plait.serve.adapters.store import AdapterFolder, AdapterStore, StoreLimits


class RecordingEngine:
    """Loads when it may (`gate`), and says of every adapter what the test wants."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.held: dict[str, LoadedAdapter] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.unload_gate = asyncio.Event()
        self.unload_gate.set()
        self.error: Exception | None = None

    async def load_adapter(self, key: str, folder: Path) -> None:
        self.loads.append(key)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.held[key] = LoadedAdapter(rank=4, memory_bytes=100, in_batch=False, requests=0)

    async def unload_adapter(self, key: str) -> None:
        self.unloads.append(key)
        await self.unload_gate.wait()
        del self.held[key]

    def adapters(self) -> dict[str, LoadedAdapter]:
        return self.held


def adapter(name: str) -> Adapter:
    return Adapter(f"{name}:1", name, f"{name}:1")


def store_on(engine: RecordingEngine, prepare: Callable[[Adapter], AdapterFolder] | None = None, **limits: int) -> Any:
    given = {"max_loaded": 2, "max_bytes": 10_000, "max_waiting": 8, "max_loads": 4} | limits
    return AdapterStore(
        engine,  # type: ignore[arg-type]
        prepare or (lambda _: AdapterFolder(Path("folder"), 100)),
        StoreLimits(**given),
    )


async def use(store: AdapterStore, *names: str) -> None:
    for name in names:
        async with store.lease(adapter(name)):
            pass


async def test_concurrent_first_leases_cause_one_load() -> None:
    engine = RecordingEngine()
    store = store_on(engine)
    await asyncio.gather(*(use(store, "a") for _ in range(8)))
    assert engine.loads == ["a:1"]


async def test_the_least_recently_used_leaves_when_another_needs_its_room() -> None:
    engine = RecordingEngine()
    store = store_on(engine)
    await use(store, "a", "b", "a", "c")
    assert engine.unloads == ["b:1"]
    assert set(engine.held) == {"a:1", "c:1"}


async def test_what_is_leased_stays_and_the_next_waits_for_it() -> None:
    engine = RecordingEngine()
    store = store_on(engine, max_loaded=1)
    async with store.lease(adapter("a")):
        waiting = asyncio.create_task(use(store, "b"))
        await asyncio.sleep(0.05)
        assert engine.loads == ["a:1"]
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)
    assert (engine.loads, engine.unloads) == (["a:1", "b:1"], ["a:1"])


async def test_when_nothing_becomes_free_the_request_is_refused_and_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "_ROOM_PATIENCE_S", 0.05)
    store = store_on(RecordingEngine(), max_loaded=1)
    async with store.lease(adapter("a")):
        with pytest.raises(Overloaded, match=r"All 1 adapters in memory are in use.*max_loaded_adapters"):
            await use(store, "b")
    await use(store, "b")  # refused for lack of room is no failure of the adapter's: it is not remembered


async def test_pinned_adapters_outlive_more_recent_ones() -> None:
    engine = RecordingEngine()
    store = store_on(engine)
    await use(store, "a")
    store.pin(frozenset({"a:1"}))
    await use(store, "b", "c", "d")
    assert "a:1" in engine.held
    store.pin(frozenset())
    await use(store, "e", "f")
    assert "a:1" not in engine.held


async def test_bytes_are_bounded_too_and_one_alone_is_always_let_in() -> None:
    engine = RecordingEngine()
    store = store_on(engine, max_loaded=10, max_bytes=250)
    await use(store, "a", "b", "c")
    assert engine.unloads == ["a:1"]
    alone = store_on(RecordingEngine(), max_bytes=50)
    await use(alone, "large")


async def test_a_failed_load_is_told_again_without_a_second_try_and_tried_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "_REMEMBER_FAILURE_S", 0.2)
    engine = RecordingEngine()
    engine.error = InvalidInput("it is broken.", "Mend it.")
    store = store_on(engine)
    for _ in range(3):
        with pytest.raises(InvalidInput, match=r"it is broken\. Mend it\."):
            await use(store, "a")
    assert engine.loads == ["a:1"]
    await asyncio.sleep(0.25)
    engine.error = None
    await use(store, "a")
    assert engine.loads == ["a:1", "a:1"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), OSError(5, "io"), RecursionError(), MemoryError()])
async def test_a_failure_that_nobody_foresaw_costs_its_requests_and_is_remembered_too(error: Exception) -> None:
    engine = RecordingEngine()
    store = store_on(engine)
    await use(store, "sound")
    engine.error = error
    for _ in range(3):
        with pytest.raises(Unavailable, match="The adapter 'a' could not be loaded"):
            await use(store, "a")
    assert engine.loads == ["sound:1", "a:1"]
    await use(store, "sound")


async def test_only_so_many_adapters_are_fetched_and_read_at_the_same_time() -> None:
    reading, most, lock = 0, 0, threading.Lock()

    def prepare(_: Adapter) -> AdapterFolder:
        nonlocal reading, most
        with lock:
            reading += 1
            most = max(most, reading)
        time.sleep(0.02)
        with lock:
            reading -= 1
        return AdapterFolder(Path("folder"), 1)

    store = store_on(RecordingEngine(), prepare, max_loaded=64, max_waiting=64, max_loads=2)
    await asyncio.gather(*(use(store, f"a{i}") for i in range(8)))
    assert most == 2


async def test_a_failed_load_gives_its_room_back() -> None:
    engine = RecordingEngine()
    store = store_on(engine, max_loaded=2)
    await use(store, "a")
    engine.error = InvalidInput("broken.")
    for name in ("x", "y", "z"):
        with pytest.raises(InvalidInput):
            await use(store, name)
    engine.error = None
    await use(store, "b")
    assert set(engine.held) == {"a:1", "b:1"}
    assert not engine.unloads


async def test_a_load_goes_on_when_the_first_who_asked_has_left() -> None:
    engine = RecordingEngine()
    engine.gate.clear()
    store = store_on(engine)
    first = asyncio.create_task(use(store, "a"))
    second = asyncio.create_task(use(store, "a"))
    await asyncio.sleep(0.05)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    engine.gate.set()
    await asyncio.wait_for(second, 5)
    assert engine.loads == ["a:1"]


async def test_loading_one_adapter_does_not_hold_up_another_that_is_loaded() -> None:
    engine = RecordingEngine()
    store = store_on(engine, max_loaded=3)
    await use(store, "a")
    engine.gate.clear()
    loading = asyncio.create_task(use(store, "b"))
    await asyncio.sleep(0.05)
    await asyncio.wait_for(use(store, "a"), 1)
    engine.gate.set()
    await loading


async def test_only_so_many_requests_wait_for_adapters() -> None:
    engine = RecordingEngine()
    engine.gate.clear()
    store = store_on(engine, max_waiting=2)
    waiting = [asyncio.create_task(use(store, "a")) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded, match="2 requests wait for adapters already"):
        await use(store, "a")
    engine.gate.set()
    await asyncio.gather(*waiting)


async def test_idle_adapters_are_dropped_and_those_in_use_are_not() -> None:
    engine = RecordingEngine()
    store = store_on(engine)
    await use(store, "a")
    async with store.lease(adapter("b")):
        await store.drop_idle(["a:1", "b:1", "never:1"])
        assert set(engine.held) == {"b:1"}
    await store.drop_idle(["b:1"])
    assert not engine.held


async def test_a_lease_during_an_eviction_waits_for_it_and_loads_anew() -> None:
    engine = RecordingEngine()
    store = store_on(engine, max_loaded=1)
    await use(store, "a")
    engine.unload_gate.clear()
    evicting = asyncio.create_task(use(store, "b"))
    await asyncio.sleep(0.05)
    assert engine.unloads == ["a:1"]
    again = asyncio.create_task(use(store, "a"))
    await asyncio.sleep(0.05)
    assert engine.loads == ["a:1"]
    engine.unload_gate.set()
    await asyncio.wait_for(asyncio.gather(evicting, again), 5)
    assert engine.loads == ["a:1", "b:1", "a:1"]
    assert set(engine.held) == {"a:1"}
