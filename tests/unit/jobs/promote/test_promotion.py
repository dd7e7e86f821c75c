"""From a recipe to a rollout in a real registry: what begins, what is refused, and how it is taken back."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from changed_settings import changed_settings

from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import Registry
from plait.adapters.rollout import RolloutRecord
from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import start_run, tracking_client
from plait.errors import Conflict, InvalidInput, ModelNotFound, NotFound, RecipeError
from plait.evaluation.gate import GateNotMet
from plait.flows.promote import roll_back
from plait.jobs.promote import job
from plait.jobs.promote.gate import GateCheck, GateReport
from plait.jobs.promote.job import GATE_TAG, Promotion
from plait.jobs.promote.sentences import said
from plait.model_ids import AdapterRef
from plait.models.chat import FORMATS
from plait.recipes import PromoteConfig, PromoteRecipe, TrainRecipe, load_recipe

NAMES = (f"promoted-{number}" for number in range(100))


@pytest.fixture
def name(tracking: None, tmp_path: Path) -> str:
    """An adapter of three versions without an alias."""
    name, folder = next(NAMES), tmp_path / "adapter"
    folder.mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / file).write_text("{}")
    AdapterMetadata(
        base_model="base",
        base_sha256="0",
        dataset_sha256="0",
        recipe={},
        method="lora",
        chat_format=FORMATS["plain"],
        run_id="r",
        run_key="k",
        plait_version="0",
        created_at="2026-01-01T00:00:00+00:00",
    ).write(folder)
    for _ in range(3):
        Registry().register(name, folder, start_run(tracking_client(), name, {}))
    return name


def promoted(candidate: str, **fields: Any) -> Promotion:
    return job.promote(candidate, PromoteConfig.model_validate({"gate": None} | fields))


def pointed(name: str) -> int:
    return Registry().resolve(AdapterRef(name, alias="champion")).version


def record(name: str) -> RolloutRecord:
    found = RolloutRegistry(tracking_client()).get(name)
    assert found is not None
    return found


def test_the_first_champion_is_set_at_once_and_the_next_is_rolled_out(name: str) -> None:
    first = promoted(f"{name}:1")
    assert (first.rollout, pointed(name)) == (None, 1)
    assert list(said(first)) == [f"{name}@champion is now {name}:1"]
    second = promoted(name, shadow={"share": 0.5}, canary={"steps": [10]})
    assert (second.candidate, second.champion, pointed(name)) == (f"{name}:3", f"{name}:1", 1)
    assert "a shadow of 50 answers, then 10%, 100%" in " ".join(said(second))
    traffic = record(name).traffic("champion")
    assert traffic is not None
    assert (traffic.weight, traffic.shadow_share) == (0.0, 0.5)
    with pytest.raises(Conflict, match=f"'{name}:3' is being rolled out already.*plait rollback {name}"):
        promoted(f"{name}:2")
    assert roll_back(name, "why not").startswith(f"the rollout of {name}:3 is ended")
    assert record(name).traffic("champion") is None
    with pytest.raises(Conflict, match="does not mean"):
        roll_back(name, "again")


def test_without_a_canary_the_alias_moves_at_once_and_what_is_champion_already_is_said(name: str) -> None:
    promoted(f"{name}:1")
    promoted(f"{name}:2", canary=None)
    assert pointed(name) == 2
    with pytest.raises(Conflict, match=f"{name}:2 is {name}@champion already"):
        promoted(f"{name}:2")


def test_what_was_promoted_is_taken_back_to_the_champion_before_it(name: str) -> None:
    promoted(f"{name}:1")
    promoted(f"{name}:2")
    Registry().set_alias(AdapterRef(name, 2), "champion")  # as the controller does after the last step
    assert roll_back(name, "wrong tone") == f"{name}@champion is {name}:1 again"
    assert pointed(name) == 1


@pytest.fixture
def unmet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A gate that is not met, and whom it was asked about."""
    asked: list[str] = []

    def gate_report(config: Any, candidate: Any, champion: Any, base_url: str) -> GateReport:
        asked.append(f"{candidate.key} {champion.key if champion else None} {base_url}")
        checks = (GateCheck(name="contains", is_met=False, what="It is worse."),)
        return GateReport(at=datetime.now(UTC), champion="base", checks=checks, folders=())

    monkeypatch.setattr(job, "gate_report", gate_report)
    return asked


def test_a_gate_that_is_not_met_changes_nothing_and_is_kept(name: str, unmet: list[str]) -> None:
    promoted(f"{name}:1")
    gate = {"evaluate": {"data": "eval.jsonl"}}
    with pytest.raises(GateNotMet, match="It is worse"):
        promoted(f"{name}:2", gate=gate, url="http://server")
    assert unmet == [f"{name}:2 {name}:1 http://server"]
    assert (pointed(name), RolloutRegistry(tracking_client()).get(name)) == (1, None)
    kept = GateReport.model_validate_json(tracking_client().get_model_version(name, "2").tags[GATE_TAG])
    assert not kept.is_met


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ([], "The field 'gate' is required"),
        (["gate=null", "canary.steps=[50,25]"], "each higher than the one before"),
        (["gate=null", "canary.steps=[50,100]"], "100 follows by itself"),
        (["gate=null", "canary=null", "shadow.share=0.1"], "a shadow is followed by a canary"),
        (["gate.evaluate.data=x", "gate.evaluate.grounding_margin=0.1"], "set retrieval=true"),
        (["gate=null", "candidate=base"], "'base' is a reserved model id"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(fields: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(PromoteRecipe, None, ["candidate=support:2", *fields])


def test_names_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(ModelNotFound, match="has no version 9"):
        promoted(f"{name}:9")
    with pytest.raises(InvalidInput, match=f"names a version.*plait rollback {name}"):
        roll_back(f"{name}:2", "")
    with pytest.raises(NotFound, match="was ever rolled out"):
        roll_back("nobody", "")


def test_what_follows_a_training_does_not_make_it_another_one(tmp_path: Path, tiny_model: Path) -> None:
    from plait.jobs.train.prepare import prepare

    data = tmp_path / "train.jsonl"
    data.write_text('{"prompt": "a", "completion": "b"}\n')
    common = ["name=x", f"data.train={data}", f"model={tiny_model}"]
    with changed_settings(home=tmp_path / "home"):
        keys = {prepare(load_recipe(TrainRecipe, None, [*common, *more])).key for more in ([], ["promote.gate=null"])}
    assert len(keys) == 1


def test_a_training_that_asks_for_it_promotes_what_it_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from plait.cli import app
    from plait.jobs.train import job as training

    version = SimpleNamespace(key="x:7", metadata=SimpleNamespace(metrics={}), path="/x/7")
    monkeypatch.setattr(training, "train", lambda recipe, reuse: version)
    asked: list[tuple[str, PromoteConfig]] = []

    def promote(candidate: str, config: PromoteConfig) -> Promotion:
        asked.append((candidate, config))
        return Promotion(candidate, None, config.alias, None, None)

    monkeypatch.setattr(job, "promote", promote)
    arguments = ["train", "lora", "name=x", "data.train=/x", "promote.gate=null", "promote.alias=best"]
    ran = CliRunner().invoke(app, arguments)
    assert "x@best is now x:7" in ran.output
    ((candidate, config),) = asked
    assert (candidate, config.gate) == ("x:7", None)
    assert "now" not in CliRunner().invoke(app, arguments[:4]).output
    assert len(asked) == 1
