"""The controller of rollouts: one replica, which hears how requests of both versions ended and moves the weights.

In: outcomes of requests and scores of answers. Out: the next state in the registry, which the replicas of the model
follow; at the end the alias itself. It may end a rollout, but never skips a step, and touches neither an alias that
somebody else moved nor a version that a request names. Killed and started again, it goes on from the registry.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from plait.adapters.registry import Registry
from plait.adapters.rollout import ArmSamples, RolloutEvent, RolloutRecord, RolloutState, StageSamples
from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import tracking_client
from plait.errors import Unavailable, first_line
from plait.evaluation.rollout_analysis import Decision, decide
from plait.model_ids import AdapterRef
from plait.observability import metrics
from plait.serve.messages.request_log import log_expected_errors_in_one_line, say
from plait.serve.messages.rollouts import JudgedAnswer, Observation, Outcome, RolloutPart

_LOOK_EVERY_S = 2.0
"""At the registry, and at the samples: replicas follow it as seldom."""
_KEEP_EVERY_S = 10.0
"""Samples are written to the registry; a controller that dies loses those since."""
_SILENT_S = 60.0
"""Without a look for so long the controller is started anew."""
_log = logging.getLogger("ray.serve")


class RolloutController:
    """Every rollout of the registry that is under way.

    It runs while one is under way and asked for: replicas of the model that answer requests with a part in it call this
    deployment into being, and by `watch` keep it.
    """

    # Serve awaits it: what looks after the registry runs in its event loop.
    async def __init__(self) -> None:  # type: ignore[misc]
        log_expected_errors_in_one_line()
        self._running: dict[str, RunningRollout] = {}
        self._registry: RolloutRegistry | None = None
        self._looked_at = time.monotonic()
        await self._try_to_look()
        self._looking = asyncio.create_task(self._look_forever())

    async def report(self, observations: Sequence[Observation]) -> None:
        """Take how requests ended, and what a judge said of answers."""
        for observation in observations:
            running = self._running.get(observation.part.adapter)
            if running is None:
                continue
            if isinstance(observation, Outcome):
                running.add(observation)
            else:
                running.add_score(observation)

    async def watch(self, rollout: str) -> None:
        """Return when a rollout is over, or not known here. Serve keeps this replica for as long as somebody waits."""
        while rollout in {running.record.rollout.id for running in self._running.values()}:
            await asyncio.sleep(_LOOK_EVERY_S)

    async def check_health(self) -> None:
        """Serve asks regularly, and starts a replica anew that raises.

        Raises:
            Unavailable: when rollouts are no longer looked after.
        """
        if self._looking.done() or time.monotonic() - self._looked_at > _SILENT_S:
            raise Unavailable("This replica no longer looks after rollouts.")

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._try_to_look()
            self._looked_at = time.monotonic()

    async def _try_to_look(self) -> None:
        try:
            await asyncio.to_thread(self._look)
        except Exception as error:  # the registry is down: the weights stay as they are
            _log.warning("rollouts cannot be looked after (%s); trying again", first_line(error))

    def _look(self) -> None:
        """Follow the registry and take every rollout as far as its samples say; blocks."""
        if self._registry is None:
            self._registry = RolloutRegistry(tracking_client())
        records = {record.rollout.adapter: record for record in self._registry.list()}
        for name, record in records.items():
            if record.state.phase != "progressing":
                self._running.pop(name, None)
                _measure(record)
                continue
            running = self._running.get(name)
            if running is None or running.record.rollout.id != record.rollout.id:
                running = self._running[name] = RunningRollout(record)
            try:
                self._take(self._registry, running, record)
            except Exception as error:  # what is wrong with one must not stop the others
                _log.warning("the rollout of '%s' cannot be taken further (%s)", name, first_line(error))
        for name in self._running.keys() - records.keys():
            del self._running[name]

    def _take(self, registry: RolloutRegistry, running: "RunningRollout", record: RolloutRecord) -> None:
        state = running.next_state(record)
        if state is None:
            return
        rollout = record.rollout
        if state.phase == "promoted" and record.alias_version == rollout.champion:
            now = registry.get(rollout.adapter)
            if now is None or now.phase != "progressing":
                return  # a person has just ended it, or moved the alias: the next look says so
            # First the alias: killed in between, the next look finds it moved and says that this is over.
            Registry().set_alias(AdapterRef(rollout.adapter, rollout.candidate), rollout.alias)
        registry.write(rollout.adapter, state)
        running.has_written(state)
        _measure(record.model_copy(update={"state": state}))
        for event in state.events[len(record.state.events) :]:
            say("rollout", adapter=rollout.adapter, candidate=rollout.candidate, decision=event.what, why=event.why)
            metrics.ROLLOUT_DECISIONS.labels(metrics.adapter_label(rollout.adapter), event.what).inc()


class RunningRollout:
    """One rollout: its samples since its step began, and what follows from them.

    Samples come in the event loop, while a thread looks at them: hence the lock.
    """

    def __init__(self, record: RolloutRecord) -> None:
        self.record = record
        self._arms = {True: record.state.samples.candidate, False: record.state.samples.champion}
        self._kept_at = time.monotonic()
        self._lock = threading.Lock()

    def add(self, outcome: Outcome) -> None:
        """Take how a request ended; what was answered in another step says nothing about this one."""
        changes: dict[str, Any] = {"requests": 1}
        if outcome.seconds is None:
            changes["errors"] = 1
        else:
            logarithm = math.log(max(outcome.seconds, 1e-4))
            changes |= {"latencies": 1, "latency_total": logarithm, "latency_squares": logarithm**2}
        self._add(outcome.part, changes)

    def add_score(self, answer: JudgedAnswer) -> None:
        """Take a score, if it is by the metric that must hold, and of an answer in this step."""
        if answer.metric == self.record.rollout.plan.quality:
            changes = {"judged": 1, "quality_total": answer.score, "quality_squares": answer.score**2}
            self._add(answer.part, changes)

    def _add(self, part: RolloutPart, changes: dict[str, Any]) -> None:
        with self._lock:
            if part.rollout == self.record.rollout.id and part.stage == self.record.state.stage:
                self._arms[part.is_candidate] = _plus(self._arms[part.is_candidate], changes)

    def _samples(self) -> StageSamples:
        with self._lock:
            return StageSamples(candidate=self._arms[True], champion=self._arms[False])

    def next_state(self, record: RolloutRecord) -> RolloutState | None:
        """What to write, from how the registry stands now; None: nothing."""
        self.record = record
        rollout, state, phase = record.rollout, record.state, record.phase
        samples = self._samples()
        if phase != "progressing":
            return state.changed(RolloutEvent.now(phase, _why_it_ended(record)), phase=phase, samples=samples)
        found = decide(rollout.plan, state.stage, samples)
        if found.what == "roll_back":
            why = f"{rollout.step_name(state.stage)}: {found.why}"
            return state.changed(RolloutEvent.now("rolled_back", why), phase="rolled_back", samples=samples)
        if found.what == "advance":
            return self._advanced(found, samples)
        waited_s = (datetime.now(UTC) - state.since).total_seconds()
        is_told = state.events[-1].what == "stalled"
        if waited_s > rollout.plan.progress_deadline_s and not is_told:
            why = f"{rollout.step_name(state.stage)}: {found.why}"
            return state.changed(RolloutEvent.now("stalled", why), samples=samples)
        if samples != state.samples and time.monotonic() - self._kept_at > _KEEP_EVERY_S:
            return state.model_copy(update={"samples": samples, "revision": state.revision + 1})
        return None

    def _advanced(self, found: Decision, samples: StageSamples) -> RolloutState:
        rollout, state = self.record.rollout, self.record.state
        why = f"{rollout.step_name(state.stage)}: {found.why}"
        if state.stage + 1 == len(rollout.plan.steps):
            return state.changed(RolloutEvent.now("promoted", why), phase="promoted", samples=samples)
        changes = {"stage": state.stage + 1, "since": datetime.now(UTC), "samples": StageSamples()}
        return state.changed(RolloutEvent.now("advanced", why), **changes)

    def has_written(self, state: RolloutState) -> None:
        """Go on from what the registry holds now."""
        with self._lock:
            if state.stage != self.record.state.stage:
                self._arms = {True: state.samples.candidate, False: state.samples.champion}
            self.record = self.record.model_copy(update={"state": state})
        self._kept_at = time.monotonic()


def _plus(arm: ArmSamples, changes: dict[str, Any]) -> ArmSamples:
    return arm.model_copy(update={name: getattr(arm, name) + value for name, value in changes.items()})


def _why_it_ended(record: RolloutRecord) -> str:
    rollout = record.rollout
    if record.stop is not None:
        return record.stop.why
    if record.phase == "promoted":
        return f"{rollout.alias} points to the candidate already"
    now = "nothing" if record.alias_version is None else f"{rollout.adapter}:{record.alias_version}"
    return f"somebody else let {rollout.alias} mean {now}"


def _measure(record: RolloutRecord) -> None:
    """What the gauges say of a rollout, under way or over."""
    adapter, traffic = metrics.adapter_label(record.rollout.adapter), record.traffic(record.rollout.alias)
    metrics.ROLLOUT_WEIGHT.labels(adapter).set(traffic.weight if traffic else float(record.phase == "promoted"))
    metrics.ROLLOUT_STEP.labels(adapter).set(record.state.stage + 1)
    ends = [event.at.timestamp() for event in record.state.events if event.what == "rolled_back"]
    if ends:
        metrics.ROLLED_BACK_AT.labels(adapter).set(ends[-1])
