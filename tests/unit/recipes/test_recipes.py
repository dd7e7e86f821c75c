"""Recipes: YAML plus overrides in, a typed recipe or one clear sentence out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import InvalidInput, RecipeError
from plait.recipes import IngestRecipe, TrainRecipe, load_recipe, ready_recipes

MINIMAL = ["name=support", "data.train=train.jsonl"]


def problem(*overrides: str, recipe: str | Path | None = None) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(TrainRecipe, recipe, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_an_unknown_field_is_named_with_the_nearest_known_one() -> None:
    assert "The field 'train.lrr' is not known or not supported. Did you mean 'train.lr'" in problem(
        *MINIMAL, "train.lrr=1"
    )


def test_a_field_of_another_section_is_found_there() -> None:
    assert "The field 'lr' is not known or not supported. Did you mean 'train.lr'?" in problem(*MINIMAL, "lr=1")


def test_every_bad_field_is_named_at_once() -> None:
    message = problem("train.lr=-1", "nmae=x")
    assert "The field 'train.lr' must be greater than 0." in message
    assert "The field 'nmae' is not known or not supported. Did you mean 'name'?" in message
    assert "The field 'data' is required." in message


def test_an_override_reaches_into_sections_that_the_file_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ndata: {train: a.jsonl}\n")
    recipe = load_recipe(TrainRecipe, file, ["train.lr=1e-4", "data.context.collection=docs", "data.eval=null"])
    assert recipe.train.lr == 1e-4
    assert recipe.data.context is not None
    assert recipe.data.context.collection == "docs"


def test_a_model_is_changed_by_its_name_alone_and_keeps_its_other_fields() -> None:
    recipe = load_recipe(TrainRecipe, "qlora", [*MINIMAL, "model=org/name", "model.dtype=float32"])
    assert (recipe.model.source, recipe.model.quantization, recipe.model.dtype) == ("org/name", "nf4", "float32")


def test_a_missing_recipe_is_named_with_the_ready_ones() -> None:
    assert "There is no recipe 'qlorra'. Did you mean 'qlora'" in problem(recipe="qlorra")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "\t x"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    assert "bad.yaml" in problem(recipe=file)


@pytest.mark.parametrize("override", ["train.lr", "=1", "name.first=x"])
def test_an_override_that_sets_nothing_is_refused(override: str) -> None:
    problem(*MINIMAL, override)


def test_reserved_names_and_pinned_versions_are_no_adapter_names() -> None:
    with pytest.raises(InvalidInput, match="reserved"):
        load_recipe(TrainRecipe, None, ["name=base", "data.train=a"])
    assert "the registry gives them" in problem("name=support:3", "data.train=a")


def test_the_overlap_of_chunks_stays_below_their_size() -> None:
    with pytest.raises(RecipeError, match="overlap_tokens must be smaller"):
        load_recipe(IngestRecipe, None, ["sources=[docs]", "chunk.max_tokens=16", "chunk.overlap_tokens=16"])


def test_ready_recipes_load_as_they_stand() -> None:
    kinds = {"ingest": IngestRecipe}
    assert "qlora" in ready_recipes()
    for name in ready_recipes():
        load_recipe(kinds.get(name, TrainRecipe), name)


@given(st.floats(1e-9, 1, exclude_min=True), st.integers(1, 10_000))
def test_numbers_survive_the_way_through_an_override(lr: float, batch_size: int) -> None:
    recipe = load_recipe(TrainRecipe, None, [*MINIMAL, f"train.lr={lr!r}", f"train.batch_size={batch_size}"])
    assert (recipe.train.lr, recipe.train.batch_size) == (lr, batch_size)


def test_a_cross_encoder_for_passages_is_named() -> None:
    wanted = [*MINIMAL, "data.context.collection=docs", "data.context.rerank=cross-encoder"]
    assert "The field 'data.context' is not valid: rerank=cross-encoder and rerank_model go together." in problem(
        *wanted
    )
    recipe = load_recipe(TrainRecipe, None, [*wanted, "data.context.rerank_model=org/name"])
    assert recipe.data.context is not None
    assert recipe.data.context.rerank_model == "org/name"


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["train.kl_weight=1"], r"computed on general text: set data\.rehearsal_share, or train\.kl_weight=0"),
        (
            ["adapter.method=full", "model.dtype=float32", "data.rehearsal_share=0.2", "train.kl_weight=1"],
            r"kl_weight needs an adapter",
        ),
        (["data.rehearsal_share=0.2", "train.rehearsal_weight=0"], r"rehearsal_share needs a loss"),
        (["data.rehearsal_share=0.2", "data.rehearsal=a.txt", "data.general=a.txt"], r"must differ from data\.general"),
        (["data.rehearsal_share=1"], r"rehearsal_share' must be less than 1"),
    ],
)
def test_a_remedy_against_forgetting_that_cannot_work_is_refused(overrides: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(TrainRecipe, None, ["name=x", "data.train=x", *overrides])
