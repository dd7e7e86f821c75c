"""The controller takes a rollout from step to step, ends it, and goes on from the registry, which is a real one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plait.adapters.rollout import Phase, Rollout, RolloutPlan, RolloutRecord
from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import tracking_client
from plait.errors import Conflict, NotFound
from plait.recipes import CanaryConfig
from plait.serve.deployments.rollout_controller import RolloutController
from plait.serve.messages.rollouts import JudgedAnswer, Outcome, RolloutPart

NAMES = (f"rolled-out-{number}" for number in range(100))


@pytest.fixture(scope="module")
def client(tracking: None) -> Any:
    return tracking_client()


@pytest.fixture
def registry(client: Any) -> RolloutRegistry:
    return RolloutRegistry(client)


@pytest.fixture
def name(client: Any, tmp_path: Path) -> str:
    """An adapter of two versions, the first its champion."""
    name = next(NAMES)
    client.create_registered_model(name)
    for _ in range(3):
        client.create_model_version(name, tmp_path.as_uri())
    client.set_registered_model_alias(name, "champion", "1")
    return name


@pytest.fixture(autouse=True)
def aliases_alone(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The versions here have no folders, which setting an alias does not need."""

    def set_alias(_: Any, ref: Any, alias: str) -> None:
        client.set_registered_model_alias(ref.name, alias, str(ref.version))

    monkeypatch.setattr("plait.serve.deployments.rollout_controller.Registry.set_alias", set_alias)


def started(registry: RolloutRegistry, name: str, shadow: float = 0.0, **canary: Any) -> Rollout:
    fields = {"steps": [10, 50], "min_samples": 20, "min_judged": 20} | canary
    plan = RolloutPlan(shadow_share=shadow, shadow_samples=20, **CanaryConfig(**fields).model_dump())
    rollout = Rollout(
        id=f"rollout of {name}",
        adapter=name,
        alias="champion",
        candidate=2,
        champion=1,
        plan=plan,
        started_at=datetime.now(UTC) - timedelta(hours=1),
    )
    registry.start(rollout)
    return rollout


def asked(rollout: Rollout, stage: int, is_candidate: bool, count: int, seconds: float | None = 0.5) -> list[Outcome]:
    part = RolloutPart(rollout.adapter, rollout.id, stage, is_candidate)
    # Not all the same: of what never varies, the smallest difference is sure.
    return [Outcome(part, None if seconds is None else seconds * (1 + number % 7)) for number in range(count)]


def both(rollout: Rollout, stage: int, count: int = 30) -> list[Outcome]:
    return asked(rollout, stage, True, count) + asked(rollout, stage, False, count)


@asynccontextmanager
async def controlling() -> AsyncIterator[RolloutController]:
    """A controller that looks when it is told to."""
    controller = RolloutController.__new__(RolloutController)
    await controller.__init__()  # type: ignore[misc]
    controller._looking.cancel()
    yield controller


async def after(controller: RolloutController, registry: RolloutRegistry, outcomes: list[Outcome]) -> RolloutRecord:
    await controller.report(outcomes)
    controller._look()
    record = registry.get(outcomes[0].part.adapter)
    assert record is not None
    return record


def stands(record: RolloutRecord) -> tuple[Phase, int, int | None]:
    return record.phase, record.state.stage, record.alias_version


async def test_a_candidate_that_is_as_good_goes_through_every_step_to_the_alias(
    registry: RolloutRegistry, name: str
) -> None:
    rollout = started(registry, name, shadow=0.5)
    async with controlling() as controller:
        assert stands(await after(controller, registry, both(rollout, -1, 19))) == ("progressing", -1, 1)
        record = await after(controller, registry, both(rollout, -1, 1))
        assert stands(record) == ("progressing", 0, 1)
        traffic = record.traffic("champion")
        assert traffic is not None
        assert (traffic.weight, record.traffic("other")) == (0.1, None)
        # Answers of the step before are late, and none of this one's.
        assert stands(await after(controller, registry, both(rollout, -1, 90))) == ("progressing", 0, 1)
        assert stands(await after(controller, registry, both(rollout, 0, 900))) == ("progressing", 1, 1)
        record = await after(controller, registry, both(rollout, 1))
    assert stands(record) == ("promoted", 1, 2)
    assert [event.what for event in record.state.events] == ["started", "advanced", "advanced", "promoted"]
    assert record.state.events[-1].why.startswith("step 2 of 2 (50%): 30 requests, 0 failed")


async def test_a_candidate_that_fails_is_rolled_back_before_the_least_number_of_samples(
    registry: RolloutRegistry, name: str
) -> None:
    rollout = started(registry, name)
    async with controlling() as controller:
        await controller.report(asked(rollout, 0, False, 200))
        record = await after(controller, registry, asked(rollout, 0, True, 12, seconds=None))
    assert stands(record) == ("rolled_back", 0, 1)
    assert "errors: 12 of 12 requests failed, 0 of 200 of the champion's" in record.state.events[-1].why


async def test_a_candidate_that_is_slower_than_allowed_is_rolled_back(registry: RolloutRegistry, name: str) -> None:
    rollout = started(registry, name)
    async with controlling() as controller:
        await controller.report(asked(rollout, 0, False, 300))
        record = await after(controller, registry, asked(rollout, 0, True, 60, seconds=5.0))
    assert stands(record) == ("rolled_back", 0, 1)
    assert "latency: an answer takes at least" in record.state.events[-1].why


def scores(rollout: Rollout, is_candidate: bool, mean: float, metric: str = "faithfulness") -> list[JudgedAnswer]:
    part = RolloutPart(rollout.adapter, rollout.id, 0, is_candidate)
    return [JudgedAnswer(part, metric, mean + (number % 5 - 2) / 20) for number in range(60)]


async def test_worse_judged_answers_roll_back_and_missing_ones_do_nothing(registry: RolloutRegistry, name: str) -> None:
    rollout = started(registry, name, quality="faithfulness", progress_deadline_s=60)
    async with controlling() as controller:
        record = await after(controller, registry, both(rollout, 0, 500))
        assert stands(record) == ("progressing", 0, 1)  # nobody judged
        assert record.state.events[-1].what == "stalled"
        assert "20 more answers of the candidate judged by faithfulness" in record.state.events[-1].why
        await controller.report(scores(rollout, True, 0.1, metric="answer_relevance"))
        await controller.report(scores(rollout, False, 0.8) + scores(rollout, True, 0.5))
        record = await after(controller, registry, both(rollout, 0, 1))
    assert stands(record) == ("rolled_back", 0, 1)
    assert "quality: faithfulness is 0.500 over 60 answers, the champion's 0.800 over 60" in record.state.events[-1].why


async def test_an_alias_that_somebody_else_moved_is_left_alone(
    registry: RolloutRegistry, name: str, client: Any
) -> None:
    rollout = started(registry, name)
    async with controlling() as controller:
        client.set_registered_model_alias(name, "champion", "3")
        record = await after(controller, registry, both(rollout, 0, 500))
    assert stands(record) == ("superseded", 0, 3)
    assert record.traffic("champion") is None
    assert f"somebody else let champion mean {name}:3" in record.state.events[-1].why


async def test_a_person_ends_a_rollout_at_once_and_for_good(registry: RolloutRegistry, name: str) -> None:
    rollout = started(registry, name)
    with pytest.raises(Conflict, match="is being rolled out already"):
        started(registry, name)
    async with controlling() as controller:
        registry.stop(name, "wrong tone")
        record = registry.get(name)
        assert record is not None
        assert record.traffic("champion") is None  # before the controller has seen it
        record = await after(controller, registry, both(rollout, 0, 500))
    assert stands(record) == ("rolled_back", 0, 1)
    assert record.state.events[-1].why == "wrong tone"
    with pytest.raises(NotFound, match="is being rolled out"):
        registry.stop(name, "again")


async def test_a_controller_that_died_is_followed_by_one_that_goes_on_where_it_was(
    registry: RolloutRegistry, name: str, monkeypatch: pytest.MonkeyPatch, client: Any
) -> None:
    monkeypatch.setattr("plait.serve.deployments.rollout_controller._KEEP_EVERY_S", 0.0)
    rollout = started(registry, name)
    async with controlling() as controller:
        await after(controller, registry, both(rollout, 0))
        await after(controller, registry, both(rollout, 1, 15))
    async with controlling() as controller:  # the samples of the step are there, too
        record = await after(controller, registry, both(rollout, 1, 4))
        assert stands(record) == ("progressing", 1, 1)
        # It dies between the alias and the note that the rollout is over.
        client.set_registered_model_alias(name, "champion", "2")
    async with controlling():
        record = registry.get(name) or record
    assert stands(record) == ("promoted", 1, 2)
    assert record.state.phase == "promoted"
    assert record.state.samples.candidate.requests == 19
