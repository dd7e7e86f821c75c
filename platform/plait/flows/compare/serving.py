"""What serves the arms of a comparison: one application of Plait's, with the base model that is asked now.

In: a recipe. Out: the address of a server with a base model. It is taken down at the end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plait.errors import Conflict
from plait.local.ray_head import connect
from plait.recipes import CompareRecipe
from plait.serve.app import parse
from plait.serve.deploy import APPLICATION, deploy, is_served, read_config, take_down

_OURS = "serving"


class Serving:
    """The application, which is deployed when it is first asked for, and again for another base model.

    Attributes:
        url: of a server that stands anyway, with the base model of the recipe; None: one is deployed.
    """

    def __init__(self, recipe: CompareRecipe, url: str | None) -> None:
        self._recipe, self._given, self._served = recipe, url, ""
        self._url = url or ""

    def url_of(self, base_model: str) -> str:
        """The address of a server with this base model.

        Raises:
            PlaitError: when the application cannot be deployed.
        """
        if self._given is None and self._served != base_model:
            self._url = deploy(_config(self._recipe, base_model), on_progress=print)
            self._served = base_model
        return self._url


@contextmanager
def serving(recipe: CompareRecipe, url: str | None, is_kept: bool, folder: Path) -> Iterator[Serving]:
    """What serves the arms.

    Args:
        url: of a server that stands anyway.
        is_kept: whether it goes on when the block has ended well.
        folder: of the comparison, where it is noted that the application is ours: one that is killed leaves it behind.

    Raises:
        Conflict: when an application of Plait's is served that is not ours, which this one would replace.
    """
    connect()
    ours = folder / _OURS
    if url is not None:
        yield Serving(recipe, url)
        return
    if is_served(APPLICATION) and not ours.exists():
        raise Conflict(
            "The cluster serves an application of Plait's already, which this one would replace.",
            "Compare through it (--url http://127.0.0.1:8000), or take it down first.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    ours.touch()
    is_whole = False
    try:
        yield Serving(recipe, url)
        is_whole = True
    finally:
        if not (is_kept and is_whole):
            take_down()
            ours.unlink(missing_ok=True)


def check_serving(recipe: CompareRecipe) -> None:
    """Find out that the recipe's args of the application are wrong.

    Raises:
        RecipeError: when they are.
    """
    _config(recipe, recipe.model)


def _config(recipe: CompareRecipe, base_model: str) -> dict[str, Any]:
    """The ready configuration with the recipe's base model, index and args, checked."""
    config = read_config("local", [])
    (application,) = config["applications"]
    own = {"llm": {"model": base_model}, "retrieval": {"collection": recipe.ingest.collection}}
    args = application["args"]
    for section, values in (*own.items(), *recipe.serve.items()):
        mergeable = isinstance(values, dict) and isinstance(args.get(section), dict)
        args[section] = {**args[section], **values} if mergeable else values
    parse(args)
    return config
