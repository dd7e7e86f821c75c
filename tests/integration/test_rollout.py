"""A rollout in one process: the LLM and the controller, joined as by handles, on a tiny model and a real registry."""

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_adapters import register_folder, save_adapter
from safetensors.torch import load_file, save_file

from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import tracking_client
from plait.engines.engine import Sampling
from plait.jobs.promote.job import promote
from plait.model_ids import ModelId
from plait.recipes import PromoteConfig
from plait.serve.adapters import names as names_module
from plait.serve.deployments import outcome_reports, rollout_controller
from plait.serve.deployments.llm import LLM
from plait.serve.deployments.rollout_controller import RolloutController
from plait.serve.messages.arguments import LLMArguments
from plait.serve.messages.calls import Call, Event

FAST = {"steps": [50], "min_samples": 8, "max_latency_ratio": None}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "FRESH_S", 0.05)
    monkeypatch.setattr(outcome_reports, "_EVERY_S", 0.05)
    monkeypatch.setattr(rollout_controller, "_LOOK_EVERY_S", 0.1)


@pytest.fixture(scope="module")
def adapters(tracking: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`climbs` and `falls` in two versions, the first the champion; the weights of `falls:2` are infinite."""
    sound = [save_adapter(tiny_model, tmp_path_factory.mktemp("sound"), seed) for seed in (1, 2)]
    broken = save_adapter(tiny_model, tmp_path_factory.mktemp("broken"), 3) / "adapter_model.safetensors"
    save_file({name: torch.full_like(weight, torch.inf) for name, weight in load_file(broken).items()}, broken)
    for name, folders in {"climbs": sound, "falls": [sound[0], broken.parent]}.items():
        for folder in folders:
            register_folder(name, tiny_model, folder)
        tracking_client().set_registered_model_alias(name, "champion", "1")


class Controller:
    """A handle of a controller that is started by the first call."""

    def __init__(self) -> None:
        self._made: asyncio.Task[RolloutController] | None = None
        self.report, self.watch = (SimpleNamespace(remote=self._calling(name)) for name in ("report", "watch"))

    def _calling(self, name: str) -> Any:
        async def call(*given: Any) -> Any:
            if self._made is None:
                self._made = asyncio.create_task(self._make())
            return await getattr(await self._made, name)(*given)

        return call

    async def _make(self) -> RolloutController:
        controller = RolloutController.__new__(RolloutController)
        await controller.__init__()  # type: ignore[misc]
        return controller


async def test_a_sound_candidate_is_promoted_and_a_broken_one_rolled_back_while_every_request_is_answered(
    quick: None, adapters: None, tiny_model: Path
) -> None:
    llm = LLM.__new__(LLM)
    controller: Any = Controller()
    await llm.__init__(LLMArguments(model=str(tiny_model), dtype="float32"), 0, controller)  # type: ignore[misc]
    registry = RolloutRegistry(tracking_client())
    config = PromoteConfig.model_validate({"gate": None, "canary": FAST})
    for name in ("climbs", "falls"):
        promote(f"{name}:2", config)
    answered: dict[str, list[str]] = {"climbs": [], "falls": []}

    async def ask(name: str, number: int) -> None:
        sampling = Sampling(max_tokens=2, ignore_eos=True)
        call = Call(ModelId.parse(f"{name}@champion"), sampling, prompt="the installed", request_id=str(number))
        events: list[Event] = [event async for event in llm.generate(call)]
        assert events[-1].finish_reason == "length"
        answered[name].append(events[0].answered_by)

    phases: dict[str, str] = {}
    for number in range(3000):
        await asyncio.gather(*(ask(name, number) for name in answered))
        if number % 5 == 0:
            records = await asyncio.to_thread(registry.list)
            phases = {record.rollout.adapter: record.state.phase for record in records}
            if "progressing" not in (phases["climbs"], phases["falls"]):
                break
    assert (phases["climbs"], phases["falls"]) == ("promoted", "rolled_back")
    shares = {name: Counter(by) for name, by in answered.items()}
    assert min(shares["climbs"][f"climbs:{version}"] for version in (1, 2)) >= 8
    assert set(shares["falls"]) == {"falls:1"}
    record = registry.get("falls")
    assert record is not None
    assert "errors:" in record.state.events[-1].why
