"""Which replica a request goes to: the one that has its adapter, or its prompt's beginning, unless it is overloaded.

In: the replicas, their queues, and a `Call`. Out: the replicas in the order to try. Rendezvous hashing (Thaler and
Ravishankar 1996) orders them by a key, so that every router agrees without sharing state and a new replica takes over
only its own share; with bounded loads (Mirrokni et al. 2018, arXiv:1608.01350) a popular key spills to the next.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from plait.serve.calls import Call

_PREFIX_CHARACTERS = 256
"""Prompts of the base model that begin alike for so long share a replica, and with it the cache of their beginning."""


def affinity_key(call: Call) -> str:
    """What calls have in common that should meet: the adapter, or for the base model how the prompt begins."""
    if call.model.adapter is not None:
        return f"adapter {call.model.adapter}"
    text = call.prompt if call.messages is None else "\n".join(m.content for m in call.messages)
    return f"prompt {text[:_PREFIX_CHARACTERS]}"


def ranked(key: str, loads: Mapping[str, int], max_imbalance: float, free_load: int) -> list[str]:
    """Replicas in the order to try.

    By the weight that the key gives them, those that have their share already behind all others. A share is
    `max_imbalance` times the mean load, this request included, and never less than `free_load`: requests that a batch
    holds anyway overload nobody.

    >>> ranked("adapter support", {"a": 0, "b": 0}, 1.25, 1) == ranked("adapter support", {"b": 0, "a": 0}, 1.25, 1)
    True
    """
    mean = (sum(loads.values()) + 1) / len(loads)
    share = max(math.ceil(max_imbalance * mean), free_load)
    return sorted(loads, key=lambda replica: (loads[replica] >= share, -_weight(key, replica)))


def _weight(key: str, replica: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{key}\n{replica}".encode(), digest_size=8).digest(), "big")


class AffinityRouter(RequestRouter):  # type: ignore[misc]
    """Ray Serve's request router for the LLM deployment."""

    def initialize_state(self, max_imbalance: float, free_load: int) -> None:
        """Called by Serve with `request_router_kwargs`."""
        self._max_imbalance, self._free_load = max_imbalance, free_load

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
        names = ranked(affinity_key(call), loads, self._max_imbalance, self._free_load)
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True  # only when none of them accepts
        return [[replicas[name]] for name in names]


def _call(args: Sequence[Any]) -> Call | None:
    return args[0] if args and isinstance(args[0], Call) else None
