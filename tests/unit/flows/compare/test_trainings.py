"""Which trainings a comparison makes; training itself is put in its place."""

from types import SimpleNamespace
from typing import Any

import pytest
from made_findings import made_recipe

from plait.flows.compare import trainings
from plait.recipes import TrainRecipe

CHANGED = {"documents": "now/", "train": "changed.jsonl"}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainRecipe]:
    made: list[TrainRecipe] = []

    def train_all(recipes: list[TrainRecipe]) -> list[Any]:
        made.extend(recipes)
        metadata = SimpleNamespace(run_id="r", metrics={"general_perplexity_before": 20.0, "general_perplexity": 21.0})
        return [SimpleNamespace(key=f"{recipe.name}:1", metadata=metadata) for recipe in recipes]

    info = SimpleNamespace(start_time=1_000, end_time=61_000)
    client = SimpleNamespace(get_run=lambda _: SimpleNamespace(info=info))
    monkeypatch.setattr(trainings, "train_all", train_all)
    monkeypatch.setattr(trainings, "tracking_client", lambda: client)
    return made


def test_each_seed_is_a_training_of_its_own_name(trained: list[TrainRecipe]) -> None:
    found = trainings.train_arms(made_recipe(seeds=2))
    assert [(recipe.name, recipe.train.seed) for recipe in trained] == [("support-lora", 0), ("support-lora-seed-1", 1)]
    first = found[0].training
    assert (first.seconds, first.perplexity_before, first.perplexity_after) == (60.0, 20.0, 21.0)


def test_what_changed_is_trained_on_top_with_as_many_passes(trained: list[TrainRecipe]) -> None:
    tuned = {"lora": {"data": {"train": "train.jsonl"}, "train": {"max_steps": 5, "epochs": 3}}}
    recipe = made_recipe(tuned=tuned, changed=CHANGED)
    found = trainings.train_further(recipe, trainings.train_arms(recipe))
    assert [each.training.is_updated for each in found] == [True]
    further = trained[1]
    assert (further.name, further.continue_from) == ("support-lora-updated", "support-lora:1")
    assert (further.data.train, further.train.max_steps, further.train.epochs) == ("changed.jsonl", None, 3)


def test_without_examples_of_what_changed_nothing_is_trained_further(trained: list[TrainRecipe]) -> None:
    recipe = made_recipe(changed={"documents": "now/"})
    assert trainings.train_further(recipe, trainings.train_arms(recipe)) == []
