"""An objective is one class and one registration: recipes, data and the loop take it without knowing it."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field
from tiny_run import planned, run

from plait.documents.row_files import BadRow
from plait.errors import RecipeError
from plait.jobs.train.batches import Batch
from plait.jobs.train.encode import Encoder, Example
from plait.jobs.train.fields import Fields
from plait.jobs.train.objectives.objective import Losses, objective_of, register
from plait.jobs.train.shards import Shards
from plait.jobs.train.trainable import Trainable
from plait.recipes import ObjectiveConfig, TrainRecipe, load_recipe


class ShoutConfig(ObjectiveConfig):
    """Learn a word in capitals."""

    kind: Literal["shout"]
    weight: float = Field(1.0, gt=0)


class Shout:
    """Each row is a term; its loss is weighted."""

    group_size: ClassVar[int] = 1
    figures: ClassVar[tuple[str, ...]] = ("tokens_a_row",)

    def __init__(self, config: ShoutConfig) -> None:
        self._weight = config.weight

    def parse(self, fields: Fields, unused: set[str]) -> str:
        if "word" not in fields:
            raise BadRow("is nothing to shout: it needs 'word'")
        return fields.text("word").upper()

    def encode(self, meaning: str, encoder: Encoder) -> list[list[Example]]:
        return [encoder.fitting([encoder.text(meaning)])]

    def terms(self, batch: Batch) -> int:
        return sum(map(len, batch.lengths))

    def losses(self, model: Trainable, batch: Batch) -> Losses:
        return Losses(self._weight * model(batch), {"tokens_a_row": float(batch.token_count)})


register(ShoutConfig, Shout)
WORDS = [{"word": "installed"}, {"word": "version"}] * 4


def test_a_new_objective_is_prepared_trained_and_measured(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("objective.kind=shout", "data.packing=false", f"train.batch_size={len(WORDS)}", "train.max_steps=1")
    plan = planned(tmp_path / "a", tiny_model, *overrides, "objective.weight=0.5", rows=WORDS, held_out=WORDS[:2])
    assert plan.recipe.objective == ShoutConfig(kind="shout", weight=0.5)

    (half,) = run(plan, monkeypatch)

    manifest = Shards(plan.train_rows).manifest
    assert half.figures["tokens_a_row"] == manifest.tokens / manifest.examples
    assert half.eval_loss is not None
    (whole,) = run(planned(tmp_path / "b", tiny_model, *overrides, rows=WORDS, held_out=WORDS[:2]), monkeypatch)
    assert whole.loss == pytest.approx(2 * half.loss, rel=1e-3)


def test_a_row_that_a_new_objective_cannot_use_is_bad(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is nothing to shout: it needs 'word'"):
        planned(tmp_path, tiny_model, "objective.kind=shout", rows=[{"text": "no word"}])


def recipe(*overrides: str) -> TrainRecipe:
    return load_recipe(TrainRecipe, None, ["name=x", "data.train=x", *overrides])


def test_a_recipe_names_a_registered_objective_and_survives_being_written() -> None:
    read = recipe("objective.kind=shout", "objective.weight=2")
    assert TrainRecipe.model_validate_json(read.model_dump_json()) == read
    assert isinstance(objective_of(read.objective), Shout)
    assert "ShoutConfig" in TrainRecipe.model_json_schema()["$defs"]


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["objective.kind=shoot"], r"objective\.kind' must be 'sft', .* or 'shout'\."),
        (
            ["objective.kind=shout", "objective.weigth=1"],
            r"objective\.weigth' is not known .* Did you mean 'objective\.weight'",
        ),
        (
            ["objective.weight=1"],
            r"'objective\.weight' is not known .* Did you mean 'objective\.kind' or 'objective\.l",
        ),
        (["objective.kind=shout", "objective.weight=0"], r"objective\.weight' must be greater than 0"),
    ],
)
def test_what_is_wrong_with_an_objective_is_named(overrides: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        recipe(*overrides)


def test_a_name_belongs_to_one_objective() -> None:
    class OtherConfig(ObjectiveConfig):
        kind: Literal["shout"]

    def other(config: OtherConfig) -> Any:
        raise AssertionError(config)

    with pytest.raises(ValueError, match="two sections with kind=shout"):
        register(OtherConfig, other)
