"""A compare recipe is made of the others."""

from pathlib import Path
from typing import Any

import pytest

from plait.errors import RecipeError
from plait.recipes import CompareRecipe, load_recipe

RECIPE = """
name: support
data: eval.jsonl
ingest: {sources: [docs/], collection: handbook}
tuned:
  knowledge: {recipe: lora, data: {train: train.jsonl}, train: {lr: 1e-3}}
  raft: {data: {train: train.jsonl, context: {top_k: 2}}}
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    file = tmp_path / "compare.yaml"
    file.write_text(RECIPE)
    return lambda *overrides: load_recipe(CompareRecipe, file, overrides)


def test_a_tuned_arm_begins_with_a_ready_recipe_and_what_is_given_lies_over_it(load: Any) -> None:
    arm = load().tuned["knowledge"]
    ready = load_recipe(type(arm), "lora")
    assert (arm.train.lr, arm.train.epochs) == (1e-3, ready.train.epochs)
    assert arm.adapter == ready.adapter
    assert arm.name == "support-knowledge"


def test_all_arms_have_the_base_model_of_the_comparison(load: Any) -> None:
    recipe = load("model=org/other")
    assert {arm.model.source for arm in recipe.tuned.values()} == {"org/other"}
    with pytest.raises(RecipeError, match=r"tuned.raft.model.source is not model"):
        load("tuned.raft.model.source=org/third")


def test_an_arm_with_passages_learns_from_the_index_that_is_compared(load: Any) -> None:
    context = load().tuned["raft"].data.context
    assert (context.collection, context.top_k) == ("handbook", 2)
    assert load("tuned.raft.data.context.collection=own").tuned["raft"].data.context.collection == "own"


def test_a_field_of_an_arm_is_set_by_an_override(load: Any) -> None:
    assert load("tuned.knowledge.train.epochs=7").tuned["knowledge"].train.epochs == 7


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["tuned.icl.data.train=x"], "cannot be called icl"),
        (["tuned.Upper.data.train=x"], "'Upper' is no name of an arm"),
        (["tuned.knowledge.promote.gate=null"], "a comparison promotes nothing"),
        (["tuned.knowledge.recipe=nope"], "no ready recipe 'nope'"),
        (["tuned.knowledge.recipe=[lora]"], r"name of a ready one, as lora, and not \['lora'\]"),
        (["ingest.sources=['']"], "ingest.sources.0"),
        (["endpoints.raft={model: m, base_url: 'http://h/v1'}"], "tuned and endpoints both have an arm raft"),
        (["endpoints.large={model: m}"], "base_url"),
        (["tuned=null"], "tuned"),
        (["name=Support"], "name"),
        (["tuned.a b.data.train=x"], "'a b' is no name of an arm"),
        (["endpoints.all={model: m, base_url: 'http://h/v1'}"], "cannot be called all"),
        (["name=a b"], "The field 'name' must match"),
        (["tuned={}", "changed={documents: d, train: t}"], "changed.train needs an adapter"),
        (["serve.retrieval={collection: other}"], "serve.retrieval.collection is set by itself"),
        (["changed={documents: d, arms: [raft]}"], "changed.arms needs changed.train"),
        (["changed={documents: d, train: t, arms: [rafd]}"], "changed.arms has rafd, which is no arm of tuned"),
        (["tuned.raft.objective.kind=dpo", "changed={documents: d, train: t}"], "learns from none"),
    ],
)
def test_what_does_not_fit_is_named(load: Any, overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load(*overrides)


def test_a_recipe_that_was_written_down_whole_reads_as_the_same(load: Any, tmp_path: Path) -> None:
    recipe = load()
    whole = tmp_path / "whole.yaml"
    whole.write_text(recipe.model_dump_json())
    assert load_recipe(CompareRecipe, whole) == recipe
