"""Which replica a request goes to: the one that has its adapter, or its prompt's beginning, unless it is overloaded.

In: the replicas, their queues, and a `Call`. Out: the replicas in the order to try. Rendezvous hashing (Thaler and
Ravishankar 1996) gives every key a home, so that routers agree without sharing state and a new replica takes over only
its own share; with bounded loads (Mirrokni et al. 2018, arXiv:1608.01350) a popular key spills to the next.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ray.serve._private.common import RequestMetadata
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from plait.serve.messages.calls import Call

_PREFIX_CHARACTERS = 256
"""Prompts of the base model that begin alike for so long share a replica, and with it the cache of their beginning."""


def affinity_key(call: Call) -> str:
    """What calls have in common that should meet: the adapter, or for the base model how the prompt begins.

    `support`, `support:3` and `support@champion` meet: as a rule they are the same weights.
    """
    if call.model.adapter is not None:
        return f"adapter {call.model.adapter.name}"
    if call.messages is not None:
        begins = "\n".join(m.content for m in call.messages)[:_PREFIX_CHARACTERS]
    else:
        begins = str(call.prompt[:_PREFIX_CHARACTERS])  # a text, or tokens
    return f"prompt {begins}"


def ranked(
    key: str, loads: Mapping[str, int], holders: Collection[str], max_imbalance: float, free_load: int
) -> list[str]:
    """Replicas in the order to try.

    First those that hold what the key needs and have less than their share to do, then the one that the key belongs to
    while it has less than twice the excess, then whoever has less than a share and must load it: so a key that is asked
    for much spreads, and one that met a busy moment waits for it. A share is `max_imbalance` times the mean load, this
    request included, and never less than `free_load`: requests that a batch holds anyway overload nobody.

    >>> ranked("adapter support", {"a": 9, "b": 0}, {"a", "b"}, max_imbalance=1.25, free_load=1)
    ['b', 'a']
    """
    mean = (sum(loads.values()) + 1) / len(loads)
    share = max(math.ceil(max_imbalance * mean), free_load)
    patience = max(math.ceil((2 * max_imbalance - 1) * mean), free_load)
    weights = {replica: _weight(key, replica) for replica in loads}
    home = max(weights, key=weights.__getitem__)

    def rank(replica: str) -> tuple[bool, bool, bool, int]:
        has_room = loads[replica] < share
        is_holder = replica in holders and has_room
        is_home = replica == home and loads[replica] < patience
        return not is_holder, not is_home, not has_room, -weights[replica]

    return sorted(loads, key=rank)


class Sent:
    """The keys that were sent to a replica of late: what it most likely still holds.

    Args:
        capacity: keys that a replica holds.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: dict[str, OrderedDict[str, None]] = {}

    def holders(self, key: str, replicas: Collection[str]) -> set[str]:
        """Which of these replicas hold a key; what others held is forgotten."""
        for gone in self._keys.keys() - set(replicas):
            del self._keys[gone]
        return {replica for replica, keys in self._keys.items() if key in keys}

    def add(self, key: str, replica: str) -> None:
        keys = self._keys.setdefault(replica, OrderedDict())
        keys[key] = None
        keys.move_to_end(key)
        if len(keys) > self._capacity:
            keys.popitem(last=False)


def _weight(key: str, replica: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{key}\n{replica}".encode(), digest_size=8).digest(), "big")


class AffinityRouter(RequestRouter):  # type: ignore[misc]  # ray ships no types
    """Ray Serve's request router for the LLM deployment."""

    def initialize_state(self, max_imbalance: float, free_load: int, capacity: int) -> None:
        """Called by Serve with `request_router_kwargs`."""
        self._max_imbalance, self._free_load = max_imbalance, free_load
        self._sent = Sent(capacity)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """One rank for each replica; Serve takes the first that accepts."""
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        if not replicas:
            return []
        loads = {name: self.replica_queue_len_cache.get(r.replica_id) or 0 for name, r in replicas.items()}
        call = _call(pending_request.args if pending_request else ())
        if call is None:  # an order of the admin API, a question about readiness: whoever has least to do
            return [[replicas[name]] for name in sorted(loads, key=lambda name: loads[name])]
        key = affinity_key(call)
        names = ranked(key, loads, self._sent.holders(key, loads), self._max_imbalance, self._free_load)
        self._sent.add(key, names[0])
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True  # only when none of them accepts
        return [[replicas[name]] for name in names]

    def _get_pending_request_matching_internal_request_id(
        self, request_metadata: RequestMetadata | None = None
    ) -> PendingRequest | None:
        """The request that a replica was chosen for.

        Serve looks it up by the id of the HTTP request that it belongs to. The answers that one HTTP request asks for
        (`n`) share that id: all but one would be waited for in vain.
        """
        waiting = (r for r in self._pending_requests_to_fulfill if r.metadata is request_metadata)
        return next((request for request in waiting if not request.future.done()), None)


def _call(args: Sequence[Any]) -> Call | None:
    return args[0] if args and isinstance(args[0], Call) else None
