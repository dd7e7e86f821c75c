"""Recipes that stand in examples and in the docs are recipes."""

import re
from pathlib import Path

import pytest

from plait.recipes import CompareRecipe, QuestionsRecipe, load_recipe

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "examples").glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_an_example_is_valid(file: Path) -> None:
    kind = {"compare.yaml": CompareRecipe, "questions.yaml": QuestionsRecipe}[file.name]
    load_recipe(kind, file)


def test_the_recipe_of_the_page_on_comparing_is_valid(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "compare.md").read_text(), re.DOTALL)
    file = tmp_path / "compare.yaml"
    file.write_text(text)
    load_recipe(CompareRecipe, file)
