"""What a name means now: from `support`, `support:3` or `support@champion` to one set of weights.

In: a reference. Out: an `Adapter`, whose key never means anything else. While an alias is rolled out to another
version, a share of its requests means that one: drawn by a hash of the session or the request, so that a session that
has come to the candidate stays with it. Pinned versions and other names are never drawn. The registry is asked at most
every few seconds for a name, and an answer that is known goes on while it does not answer. Nothing here loads weights.
"""

import asyncio
import hashlib
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from plait.adapters.registry import AdapterVersion, Registry
from plait.adapters.rollout import RolloutTraffic
from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import tracking_client
from plait.errors import InvalidInput, NotFound, PlaitError, Unavailable, first_line
from plait.model_ids import AdapterRef
from plait.serve.adapters.served import ServedAdapters
from plait.serve.messages.rollouts import RolloutPart, Shadow

FRESH_S = 3.0
"""An answer of the registry so young is not asked for again."""
_STALE_S = 7.0
"""One so old is asked for again before it is used: a moved alias is followed within ten seconds, also when idle."""
_PATIENCE_S = 2.0
"""How long a request waits for the registry when there is an older answer."""
_MAX_NAMES = 4096
_log = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class Adapter:
    """One set of weights. `folder`: where they lie, if that is known without fetching them from `location`."""

    key: str
    name: str
    location: str
    folder: Path | None = None


@dataclass(frozen=True)
class Drawn:
    """What a request means.

    Attributes:
        part: in the rollout of the alias; None: it is not rolled out.
        fallback: who answers if the candidate fails; None: the champion was drawn.
        shadow: what a candidate shall answer unseen; None: nothing.
    """

    adapter: Adapter
    part: RolloutPart | None = None
    fallback: Adapter | None = None
    shadow: Shadow | None = None


@dataclass(frozen=True)
class _Answer:
    adapter: Adapter | None
    error: PlaitError | None
    at: float
    traffic: RolloutTraffic | None = None


class RegistryReader:
    """The registry, opened when it is first needed: a base model starts without it.

    The tracking client is not made for concurrent opening, hence the lock.
    """

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._rollouts: RolloutRegistry | None = None
        self._lock = threading.Lock()

    def resolve(self, ref: AdapterRef) -> AdapterVersion:
        """As `Registry.resolve`; blocks."""
        return self.open().resolve(ref)

    def list(self) -> list[AdapterVersion]:
        """As `Registry.list`; blocks."""
        return self.open().list()

    def traffic(self, ref: AdapterRef, version: int) -> RolloutTraffic | None:
        """The rollout of an alias that points to a version; None: it is not rolled out. Blocks."""
        if ref.alias is None:
            return None
        with self._lock:
            if self._rollouts is None:
                self._rollouts = RolloutRegistry(tracking_client())
        record = self._rollouts.get(ref.name)
        return None if record is None or record.alias_version != version else record.traffic(ref.alias)

    def open(self) -> Registry:
        """The registry itself; blocks."""
        with self._lock:
            if self._registry is None:
                self._registry = Registry()
            return self._registry


class AdapterNames:
    """Names of adapters: those of the admin API first, then the registry's."""

    def __init__(self, served: ServedAdapters, registry: RegistryReader) -> None:
        self._served, self._registry = served, registry
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def resolve(self, ref: AdapterRef) -> Adapter:
        """The weights that a reference means now; of an alias those that it points to, also while it is rolled out.

        Raises:
            ModelNotFound: when it means nothing.
            Unavailable: when the registry does not answer and never did for this name.
        """
        own = self._served.read().adapters.get(ref.name) if str(ref) == ref.name else None
        if own is not None:
            return Adapter(own.key, own.name, own.location)
        answer = await self._known(ref)
        assert answer.adapter is not None
        return answer.adapter

    async def draw(self, ref: AdapterRef, unit: str) -> Drawn:
        """The weights that a reference means for one request.

        Args:
            unit: what stays with one version for as long as its weight does not fall: a session, or a request.

        Raises:
            ModelNotFound, Unavailable: as `resolve`.
        """
        adapter = await self.resolve(ref)
        known = self._answers.get(str(ref))
        traffic = known.traffic if known is not None and known.adapter is adapter else None
        if traffic is None:
            return Drawn(adapter)
        is_candidate = _place(traffic.rollout, unit) < traffic.weight
        part = RolloutPart(ref.name, traffic.rollout, traffic.stage, is_candidate)
        candidate = _candidate(ref.name, traffic)
        if is_candidate:
            return Drawn(candidate, part, fallback=adapter)
        is_copied = _place(f"{traffic.rollout} shadow", unit) < traffic.shadow_share
        if not is_copied:
            return Drawn(adapter, part)
        return Drawn(adapter, part, shadow=Shadow(candidate.key, replace(part, is_candidate=True)))

    async def _known(self, ref: AdapterRef) -> _Answer:
        known = self._answers.get(str(ref))
        age_s = time.monotonic() - known.at if known else float("inf")
        if age_s > FRESH_S:
            asking = self._ask(ref)
            if known is None or known.adapter is None:
                await asyncio.shield(asking)
            elif age_s > _STALE_S:
                await asyncio.wait([asking], timeout=_PATIENCE_S)
        answer = self._answers[str(ref)]
        if answer.error is not None:
            raise type(answer.error)(*answer.error.args)  # a copy: an error that is raised often grows its traceback
        return answer

    def candidates(self) -> list[Adapter]:
        """Versions that aliases are being rolled out to, as far as requests have asked for these aliases."""
        known = [(answer.adapter, answer.traffic) for answer in self._answers.values()]
        return [_candidate(adapter.name, traffic) for adapter, traffic in known if adapter and traffic]

    def known(self) -> list[Adapter]:
        """Every adapter that some name was found to mean."""
        adapters = [answer.adapter for answer in self._answers.values() if answer.adapter]
        served = [Adapter(a.key, a.name, a.location) for a in self._served.read().adapters.values()]
        return list({adapter.key: adapter for adapter in [*adapters, *served]}.values())

    def _ask(self, ref: AdapterRef) -> "asyncio.Task[None]":
        """Ask the registry, once for all who want to know."""
        name = str(ref)
        if name not in self._asking:
            task = asyncio.create_task(self._answer(ref))
            self._asking[name] = task
            task.add_done_callback(lambda _: self._asking.pop(name))
        return self._asking[name]

    async def _answer(self, ref: AdapterRef) -> None:
        adapter: Adapter | None = None
        error: PlaitError | None = None
        traffic: RolloutTraffic | None = None
        try:
            version = await asyncio.to_thread(self._registry.resolve, ref)
            adapter = Adapter(version.key, version.name, version.key, version.path)
            traffic = await asyncio.to_thread(self._registry.traffic, ref, version.version)
        except (NotFound, InvalidInput) as refused:
            error = refused
        except Exception as failed:  # a server that is down, a file that is locked: the last answer is still the best
            known = self._answers.get(str(ref))
            adapter, traffic = (known.adapter, known.traffic) if known else (None, None)
            reason = first_line(failed)
            _log.warning("the registry did not say what '%s' means (%s); known: %s", ref, reason, adapter)
            if adapter is None:
                error = Unavailable(f"The registry does not answer ({reason}).", "Try again in a moment.")
        self._answers[str(ref)] = _Answer(adapter, error, time.monotonic(), traffic)
        self._answers.move_to_end(str(ref))
        while len(self._answers) > _MAX_NAMES:
            self._answers.popitem(last=False)


def _candidate(name: str, traffic: RolloutTraffic) -> Adapter:
    key = f"{name}:{traffic.candidate}"
    return Adapter(key, name, key)


def _place(salt: str, unit: str) -> float:
    """Where a unit stands between 0 and 1, each time anew for another salt."""
    return int.from_bytes(hashlib.blake2b(f"{salt}\n{unit}".encode(), digest_size=8).digest()) / 2**64
