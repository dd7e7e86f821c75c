"""From YAML plus dotted overrides (`train.lr=1e-4`) to a recipe.

In: a path or the name of a ready recipe, and overrides. Out: a frozen pydantic model, or one error that names every
bad field and the nearest known one.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from plait.errors import RecipeError, did_you_mean
from plait.recipes.overrides import apply_override
from plait.recipes.variants import discriminator_of, types_of
from plait.recipes.yaml_text import parse_yaml
from plait.section import Section

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
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        where = f"Recipe '{recipe}'" if recipe is not None else "The recipe"
        problems = "; ".join(dict.fromkeys(_explain(kind, detail) for detail in error.errors()))
        raise RecipeError(f"{where}: {problems}.", "Mend the recipe or the override and run again.") from None


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
        raise RecipeError(f"Recipe '{recipe}' is not valid YAML: {_one_line(error)}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"Recipe '{recipe}' must be a mapping of fields, not a {type(values).__name__}.")
    return values


def _explain(kind: type[Section], detail: Any) -> str:
    location = [str(part) for part in detail["loc"]]
    # Of a section with variants pydantic also names the chosen one: adapter.lora.rank.
    tag = location.pop(1) if len(location) > 1 and discriminator_of(kind.model_fields[location[0]]) else None
    dotted = ".".join(location)
    if detail["type"] == "extra_forbidden":
        hint = _nearest_field(_field_paths(kind, tag), dotted)
        return f"unknown field '{dotted}'" + (f" ({hint.rstrip('.')})" if hint else "")
    if detail["type"] == "missing":
        return f"field '{dotted}' is missing"
    if detail["type"] == "union_tag_invalid":
        given, field = detail["ctx"]["tag"], detail["ctx"]["discriminator"].strip("'")
        hint = did_you_mean(given, re.findall(r"'([^']+)'", detail["ctx"]["expected_tags"]))
        return f"field '{dotted}.{field}' is '{given}' ({hint.rstrip('.')})"
    message = re.sub(r"^(Value|Assertion) error, ", "", detail["msg"])
    return f"field '{dotted}' is {detail['input']!r}: {message[0].lower()}{message[1:]}" if dotted else message


def _nearest_field(known: Sequence[str], dotted: str) -> str:
    """A hint: the same name in another section, else the nearest name in this section, else what it holds."""
    section, _, name = dotted.rpartition(".")
    namesakes = [path for path in known if path.rpartition(".")[2] == name]
    siblings = [path for path in known if path.rpartition(".")[0] == section]
    if namesakes:
        return f"Did you mean {' or '.join(map(repr, namesakes))}?"
    return did_you_mean(dotted, siblings)


def _field_paths(kind: type[BaseModel], tag: str | None = None, prefix: str = "") -> list[str]:
    """Every field of a recipe, dotted (train.lr, data.context.top_k, …), of variants those of `tag` if it is given."""
    paths: list[str] = []
    for name, field in kind.model_fields.items():
        paths.append(prefix + name)
        discriminator = discriminator_of(field)
        for candidate in (part for each in types_of(field) for part in (each, *getattr(each, "__args__", ()))):
            if not (isinstance(candidate, type) and issubclass(candidate, BaseModel)):
                continue
            if tag and discriminator and tag not in get_args(candidate.model_fields[discriminator].annotation):
                continue
            paths += _field_paths(candidate, tag, f"{prefix}{name}.")
    return list(dict.fromkeys(paths))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
