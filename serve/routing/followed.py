"""The policy that `auto` goes by now: the registered one that a name means, or the rules of a file.

In: the arguments. Out: the policy. It is looked at again at most every few seconds, beside the requests; one that
cannot be loaded leaves the last one in its place. It chooses nothing itself.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plait.errors import PlaitError, first_line
from plait.model_ids import AdapterRef
from plait.observability import metrics
from plait.routing.policy import Policy, RouteRequest
from plait.serve.messages.routing_arguments import RoutingArguments

if TYPE_CHECKING:
    from plait.routing.drift import SeenQuestions
    from plait.routing.registry import PolicyRegistry, PolicyVersion

FRESH_S = 3.0
"""A policy that was looked at so recently is not looked at again."""
_STALE_S = 7.0
"""One that was looked at so long ago is looked at before it is used: a moved alias is followed within ten seconds."""
_PATIENCE_S = 2.0
"""How long a request waits for that."""
_FIRST_PATIENCE_S = 10.0
"""How long it waits where there is no policy yet: MLflow and scikit-learn take seconds to import."""
_log = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy that can be asked.

    Attributes:
        name: `support:3`, or the file of rules.
        seen: the questions that it was learned from; None: it was learned from none.
        version: as it is registered; None: it is not.
    """

    name: str
    policy: Policy
    seen: "SeenQuestions | None" = None
    version: "PolicyVersion | None" = None


class PolicySource:
    """Where the policy comes from. What it imports takes seconds, so nothing is imported before it is used."""

    def __init__(self, how: RoutingArguments) -> None:
        self._how = how
        self._registry: PolicyRegistry | None = None

    def load(self, known: LoadedPolicy | None) -> LoadedPolicy:
        """The policy as it is now: the known one itself, where it is still the same. Blocks.

        Raises:
            ModelNotFound: when there is no such policy.
            RecipeError: for a bad file of rules.
            PlaitError: when the registry does not answer, or what it holds is no policy.
        """
        if self._how.rules is not None:
            from plait.routing.policies.rules import read_rules

            rules = read_rules(Path(self._how.rules)).open({})
            return known if known is not None and known.policy == rules else LoadedPolicy(self._how.rules, rules)
        from plait.adapters.tracking import tracking_client
        from plait.routing.registry import PolicyRegistry

        if self._registry is None:
            self._registry = PolicyRegistry(tracking_client())
        assert self._how.policy is not None
        ref = AdapterRef.parse(self._how.policy)
        version = self._registry.resolve(ref, known.version if known is not None else None)
        if known is not None and version is known.version:
            return known
        _try_out(version.saved.policy)
        return LoadedPolicy(version.key, version.saved.policy, version.saved.seen, version)


def _try_out(policy: Policy) -> None:
    """What a policy builds at its first question, it builds here, and not while a request waits."""
    embedding = None if policy.vectors is None else np.zeros(policy.vectors.dimension, np.float32)
    policy.rank(RouteRequest("which one?", embedding))


class FollowedPolicy:
    """The policy, looked at in a thread of its own.

    Args:
        load: see `PolicySource.load`.
    """

    def __init__(self, load: Callable[[LoadedPolicy | None], LoadedPolicy]) -> None:
        self._load = load
        self._known: LoadedPolicy | None = None
        self._told = ""
        self._at = float("-inf")
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follow-policy")
        self._looking: Future[None] | None = None
        self._look()

    async def current(self) -> LoadedPolicy | None:
        """The policy; None when none could be loaded yet."""
        age_s = time.monotonic() - self._at
        if age_s > FRESH_S:
            patience_s = _FIRST_PATIENCE_S if self._known is None else _PATIENCE_S if age_s > _STALE_S else 0.0
            looking = self._look()
            if patience_s:
                await asyncio.wait([asyncio.wrap_future(looking)], timeout=patience_s)
        return self._known

    def _look(self) -> "Future[None]":
        """Look at the policy, once for all who want to know."""
        with self._lock:
            if self._looking is None or self._looking.done():
                self._looking = self._thread.submit(self._load_now)
            return self._looking

    def _load_now(self) -> None:
        try:
            found = self._load(self._known)
        except Exception as error:  # whatever it is, requests are routed by the last one
            said = str(error) if isinstance(error, PlaitError) else first_line(error)
            if said != self._told:
                kept = self._known.name if self._known else "none, so routing.fallback answers"
                _log.warning("the routing policy cannot be loaded (%s); in use: %s", said, kept)
            self._told = said
            metrics.ROUTE_POLICY_LOADS.labels("failed").inc()
        else:
            if found is not self._known:
                _log.info("auto is routed by %s", found.name)
                metrics.ROUTE_POLICY_LOADS.labels("loaded").inc()
            self._known, self._told = found, ""
        self._at = time.monotonic()
