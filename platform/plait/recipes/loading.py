"""From YAML plus dotted overrides (`train.lr=1e-4`) to a recipe.

In: a path or the name of a ready recipe, and overrides. Out: a frozen pydantic model, or one error that names every
bad field and the nearest known one.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml

from plait.errors import RecipeError, did_you_mean, first_line
from plait.recipes.overrides import apply_override
from plait.recipes.yaml_text import parse_yaml
from plait.section import Section
from plait.validation import validated

R = TypeVar("R", bound=Section)


def load_recipe(kind: type[R], recipe: str | Path | None, overrides: Sequence[str] = ()) -> R:
    """Read a recipe from a YAML file (or a ready recipe's name, or nothing) and apply `key.path=value` overrides.

    Values of overrides are text where the field is, else YAML: `tenant=007`, `train.lr=1e-4`, `data.eval=null`.

    Raises:
        RecipeError: for a missing file, bad YAML, or any unknown, missing or ill-typed field, each named.
    """
    values = _read_yaml(recipe) if recipe is not None else {}
    for override in overrides:
        apply_override(values, override, kind, kind.short_overrides)
    whole = f"Recipe '{recipe}'" if recipe is not None else "The recipe"
    return validated(kind, values, whole, "Mend the recipe or the override and run again.")


def ready_values(name: str) -> dict[str, Any]:
    """The fields of a recipe that comes with Plait.

    Raises:
        RecipeError: when there is no such recipe.
    """
    if name not in ready_recipes():
        raise RecipeError(f"There is no ready recipe '{name}'.", did_you_mean(name, ready_recipes()))
    return _read_yaml(name)


def ready_recipes() -> list[str]:
    """Names of the recipes that come with Plait."""
    return sorted(
        p.name.removesuffix(".yaml") for p in files("plait.jobs.recipes").iterdir() if p.name.endswith(".yaml")
    )


def _read_yaml(recipe: str | Path) -> dict[str, Any]:
    path = Path(recipe)
    ready = files("plait.jobs.recipes") / f"{recipe}.yaml"
    if path.is_file():
        text = path.read_bytes()
    elif ready.is_file():
        text = ready.read_bytes()
    else:
        raise RecipeError(f"There is no recipe '{recipe}'.", did_you_mean(str(recipe), ready_recipes()))
    try:
        values = parse_yaml(text) or {}
    except yaml.YAMLError as error:
        raise RecipeError(f"Recipe '{recipe}' is not valid YAML: {first_line(error)}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"Recipe '{recipe}' must be a mapping of fields, not a {type(values).__name__}.")
    return values
