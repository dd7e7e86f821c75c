"""The adapters of one replica: names, sources and memory joined, and kept at what the served set wants.

In: references of requests, and orders of the admin API. Out: leases on loaded weights, and what is resident where. It
knows no HTTP and no prompts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from plait.adapters.metadata import FILE_NAME, AdapterMetadata
from plait.engines.engine import Engine
from plait.errors import InvalidInput, PlaitError
from plait.model_ids import AdapterRef
from plait.models.chat import ChatFormat
from plait.observability import metrics
from plait.serve.adapters.cache import AdapterCache
from plait.serve.adapters.limits import AdapterLimits
from plait.serve.adapters.names import Adapter, AdapterNames, Drawn, RegistryReader
from plait.serve.adapters.served import ServedAdapter, ServedAdapters
from plait.serve.adapters.sources import AdapterSources, check_links
from plait.serve.adapters.store import AdapterFolder, AdapterStore, Resident, StoreLimits
from plait.serve.messages.arguments import LLMArguments
from plait.settings import settings

_UPKEEP_S = 1.0
"""How often a replica compares what it holds with what the served set wants."""
_log = logging.getLogger("ray.serve")
Tier = Literal["batch", "memory", "disk"]


class Residency(BaseModel):
    """Where an adapter is, in one replica: in the tables of steps, in memory, or on disk (or further) only."""

    model_config = ConfigDict(frozen=True)

    key: str
    name: str
    root: str
    tier: Tier
    is_pinned: bool
    rank: int | None = None
    memory_bytes: int = 0
    requests: int = 0
    loaded_at: str | None = None


class AdapterLifecycle:
    """One replica's adapters.

    Args:
        engine: holds the weights.
        arguments: limits, stores, and what is loaded ahead.
    """

    def __init__(self, engine: Engine, arguments: LLMArguments) -> None:
        self._engine, self._arguments = engine, arguments
        root = settings().root / "adapters"
        limits = AdapterLimits(arguments.max_rank, arguments.max_adapter_bytes)
        self.registry = RegistryReader()
        self._limits = limits
        self._sources = AdapterSources(
            [str(root), *arguments.adapter_stores], AdapterCache(root / "cache", arguments.adapter_cache_bytes), limits
        )
        self._served = ServedAdapters(root / "served.json")
        self._names = AdapterNames(self._served, self.registry)
        self._store = AdapterStore(
            engine,
            self._prepare,
            StoreLimits(
                arguments.max_loaded_adapters,
                arguments.max_loaded_bytes,
                arguments.max_waiting,
                arguments.max_adapter_loads,
            ),
        )
        self._upkeep: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is to be loaded ahead, then keep up with the served set. One that fails costs only itself."""
        for name in dict.fromkeys([*self._arguments.preload, *self._arguments.pinned]):
            await self._load_ahead(AdapterRef.parse(name))
        await self._try_to_keep_up()
        self._upkeep = asyncio.create_task(self._keep_up_forever())

    @property
    def is_kept_up(self) -> bool:
        """Whether the served set is still followed."""
        return self._upkeep is not None and not self._upkeep.done()

    @asynccontextmanager
    async def lease(self, ref: AdapterRef) -> AsyncIterator[Resident]:
        """The weights that a name means now, in memory until the block ends.

        Raises:
            PlaitError: when there is no such adapter, it must not be loaded, or there is no room.
        """
        async with self.lease_of(await self._names.resolve(ref)) as resident:
            yield resident

    async def draw(self, ref: AdapterRef, unit: str) -> Drawn:
        """As `AdapterNames.draw`, but a candidate that is not in memory yet is loaded while the champion answers.

        Raises:
            PlaitError: when there is no such adapter.
        """
        drawn = await self._names.draw(ref, unit)
        if drawn.fallback is None:
            return drawn
        try:
            is_loaded = self._store.warm(drawn.adapter)
        except PlaitError:
            return drawn  # its lease says why, and the champion answers
        return drawn if is_loaded else Drawn(drawn.fallback)

    @asynccontextmanager
    async def lease_of(self, adapter: Adapter) -> AsyncIterator[Resident]:
        """Weights in memory until the block ends.

        Raises:
            PlaitError: when they must not be loaded, or there is no room.
        """
        async with self._store.lease(adapter) as resident:
            yield resident

    async def load(self, name: str, location: str, in_place: bool) -> None:
        """Serve the adapter at `location` as `name`, in every replica; verified and loaded here first.

        Raises:
            PlaitError: why it cannot be served; then nothing changed.
        """
        if AdapterRef.parse(name).name != name:
            raise InvalidInput(f"'{name}' is no name to serve an adapter by.", "Leave out ':version' and '@alias'.")
        if not in_place:
            self._served.check_is_free(name)
        if "/" not in location:
            # What a name of the registry means now, and not what it will mean later: that has a name already.
            location = (await self._names.resolve(AdapterRef.parse(location))).key
        else:
            await asyncio.to_thread(self._sources.check_allowed, location)
        generation = await asyncio.to_thread(self._served.new_generation)
        adapter = ServedAdapter(name=name, location=location, generation=generation)
        async with self._store.lease(Adapter(adapter.key, name, location)):
            await asyncio.to_thread(self._served.put, adapter, in_place)
        _log.info("serving '%s' as '%s' (%s)", location, name, adapter.key)

    async def unload(self, name: str) -> None:
        """Serve a name no longer. Requests that run go on to their end.

        Raises:
            ModelNotFound: when nothing was loaded under this name.
        """
        await asyncio.to_thread(self._served.remove, name)
        await self._keep_up()

    async def pin(self, name: str, is_pinned: bool) -> None:
        """Keep what a name means in the memory of every replica, now and when it means another version.

        Raises:
            PlaitError: when it cannot be loaded.
        """
        ref = AdapterRef.parse(name)
        if is_pinned:
            async with self.lease(ref):
                await asyncio.to_thread(self._served.pin, name, True)
        else:
            await asyncio.to_thread(self._served.pin, name, False)
        await self._keep_up()

    def residency(self) -> list[Residency]:
        """Every adapter that this replica has in memory, or knows to be loadable."""
        loaded = self._engine.adapters()
        found = {}
        for resident in self._store.residents():
            adapter = resident.adapter
            held = loaded.get(adapter.key)
            found[adapter.key] = Residency(
                key=adapter.key,
                name=adapter.name,
                root=str(adapter.folder or adapter.location),
                tier="batch" if held is not None and held.in_batch else "memory",
                is_pinned=self._store.is_pinned(adapter.key),
                rank=held.rank if held else None,
                memory_bytes=held.memory_bytes if held else 0,
                requests=resident.leases,
                loaded_at=resident.loaded_at.isoformat(timespec="seconds") if resident.loaded_at else None,
            )
        for adapter in self._names.known():
            if adapter.key not in found:
                root = str(adapter.folder or adapter.location)
                is_pinned = self._store.is_pinned(adapter.key)
                found[adapter.key] = Residency(
                    key=adapter.key, name=adapter.name, root=root, tier="disk", is_pinned=is_pinned
                )
        return list(found.values())

    def served(self) -> list[ServedAdapter]:
        """What the admin API serves."""
        return list(self._served.read().adapters.values())

    def _prepare(self, adapter: Adapter) -> AdapterFolder:
        """Fetch and verify; blocks."""
        folder = adapter.folder
        if folder is None and "/" not in adapter.location:
            folder = self.registry.resolve(AdapterRef.parse(adapter.location)).path
        elif folder is None:
            folder = self._sources.fetch(adapter.location)
        if "/" not in adapter.location:  # what the registry holds are copies; fetch has checked the rest
            check_links(folder, [folder.resolve()])
        self._limits.check(folder, self._arguments.model)
        weights = folder / "adapter_model.safetensors"
        return AdapterFolder(folder, weights.stat().st_size if weights.is_file() else 0, _chat_format(folder))

    async def _load_ahead(self, ref: AdapterRef) -> Adapter | None:
        try:
            adapter = await self._names.resolve(ref)
            async with self._store.lease(adapter):
                return adapter
        except PlaitError as error:
            _log.warning("the adapter '%s' is not loaded ahead: %s", ref, error)
        except Exception:  # whatever is wrong with one adapter, the base model and the others are served
            _log.exception("the adapter '%s' is not loaded ahead", ref)
        return None

    async def _keep_up(self) -> None:
        """Pin what is to be pinned, warm what is served while there is room, give up what is served no longer."""
        served = self._served.read()
        pinned: set[str] = set()
        for name in sorted({*self._arguments.pinned, *served.pinned}):
            adapter = await self._load_ahead(AdapterRef.parse(name))
            if adapter is not None:
                pinned.add(adapter.key)
        self._store.pin(frozenset(pinned))
        wanted = {adapter.key for adapter in served.adapters.values()}
        held = {resident.adapter.key for resident in self._store.residents()}
        await self._store.drop_idle(key for key in held - wanted if "#" in key)  # no key of the registry has one
        for one in served.adapters.values():
            if one.key not in held and self._store.has_room:
                await self._load_ahead(AdapterRef(one.name))
        for candidate in self._names.candidates():
            if candidate.key not in held and self._store.has_room:
                await self._load_ahead(AdapterRef.parse(candidate.key))
        self._measure()

    async def _keep_up_forever(self) -> None:
        while True:
            await asyncio.sleep(_UPKEEP_S)
            await self._try_to_keep_up()

    async def _try_to_keep_up(self) -> None:
        try:
            await self._keep_up()
        except Exception:  # a file that somebody broke must not take the base model down
            _log.exception("the served set could not be followed; trying again")

    def _measure(self) -> None:
        residency = self.residency()
        for tier in ("batch", "memory", "disk"):
            metrics.ADAPTERS_RESIDENT.labels(tier).set(sum(adapter.tier == tier for adapter in residency))
        metrics.ADAPTERS_PINNED.set(sum(adapter.is_pinned for adapter in residency))


def _chat_format(folder: Path) -> ChatFormat | None:
    if not (folder / FILE_NAME).is_file():
        return None
    chat_format = AdapterMetadata.read(folder).chat_format
    chat_format.check()
    return chat_format
