"""Collects how requests ended and what judges said, and tells the controller of rollouts once a second; nobody waits.

In: observations. Out: calls of the controller, the first of which has Serve start it; observations wait until it is
there. What a controller that dies was being told is lost: fewer samples, and no wrong ones.
"""

import asyncio
import logging
from collections.abc import Sequence

from ray.serve.handle import DeploymentHandle

from plait.errors import first_line
from plait.serve.messages.rollouts import Observation

_EVERY_S = 1.0
_MAX_WAITING = 10_000
_log = logging.getLogger("ray.serve")


class OutcomeReports:
    """Observations on their way, added in the event loop. `controller`: None where the application has none."""

    def __init__(self, controller: DeploymentHandle | None) -> None:
        self._controller = controller
        self._waiting: list[Observation] = []
        self._sending: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def add(self, observation: Observation) -> None:
        """Take an observation; returns at once."""
        if self._controller is None or len(self._waiting) >= _MAX_WAITING:
            return
        self._waiting.append(observation)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(self._controller))
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(self._controller, observation.part.rollout))

    async def _watch(self, controller: DeploymentHandle, rollout: str) -> None:
        """Have a request of the controller under way until the rollout is over, so that Serve does not end it."""
        try:
            await controller.watch.remote(rollout)
        except Exception as error:
            _log.warning(
                "the controller of rollouts is gone (%s); the next observation calls another", first_line(error)
            )
            await asyncio.sleep(_EVERY_S)

    async def _send(self, controller: DeploymentHandle) -> None:
        while self._waiting:
            await asyncio.sleep(_EVERY_S)
            observations: Sequence[Observation] = self._waiting
            self._waiting = []
            try:
                await controller.report.remote(observations)
            except Exception as error:
                _log.warning(
                    "%d observations are lost: the controller is not reached (%s)", len(observations), first_line(error)
                )
