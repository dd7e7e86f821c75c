"""A price is two numbers; whose it is may stand before it."""

import pytest

from plait.errors import RecipeError
from plait.recipes import SamplesRecipe, TokenPrice, load_recipe, prices_override


def test_prices_of_a_command_line_are_those_of_the_recipe() -> None:
    override = prices_override(["0.15/0.60", "rag/base=1/2", "a=b=0/0"])
    recipe = load_recipe(SamplesRecipe, None, ["samples=x", override])
    assert recipe.prices == {
        "all": TokenPrice(prompt=0.15, completion=0.6),
        "rag/base": TokenPrice(prompt=1, completion=2),
        "a=b": TokenPrice(prompt=0, completion=0),
    }


@pytest.mark.parametrize("text", ["0.15", "x/1", "1/", "-1/2", "nan/1", "1/inf", "base=1/2/3", ""])
def test_what_is_no_price_is_said_with_the_form_of_one(text: str) -> None:
    with pytest.raises(RecipeError, match=r"is no price\. Write tokens read/written, per million"):
        prices_override([text])


def test_a_price_is_of_a_million_tokens() -> None:
    assert TokenPrice(prompt=0.5, completion=2).cost(1_000_000, 250_000) == pytest.approx(1.0)
