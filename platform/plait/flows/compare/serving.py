"""What serves the arms of a comparison: one application of Plait's, with the base model that is asked now.

In: a recipe. Out: the address of a server with a base model. It is taken down at the end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plait.chat_client import server_url
from plait.errors import Conflict, RecipeError
from plait.local.ray_head import connect
from plait.recipes import CompareRecipe
from plait.serve.app import parse
from plait.serve.deploy import APPLICATION, deploy, read_config, served_since, take_down
from plait.whole_files import write_whole

_OURS, _NOT_YET = "serving", "not yet"
"""The file that notes since when the application is served that is ours, and what it holds until it is."""


class Serving:
    """The application, which is deployed when it is first asked for, and again for another base model.

    Args:
        url: of a server that stands anyway, with the base model of the recipe; None: one is deployed.
        folder: of the comparison, where it is noted that the application is ours: one that is killed leaves it behind.
    """

    def __init__(self, recipe: CompareRecipe, url: str | None, folder: Path) -> None:
        self._recipe, self._given, self._served = recipe, url, ""
        self._url, self._ours = url or "", folder / _OURS

    def url_of(self, base_model: str) -> str:
        """The address of a server with this base model.

        Raises:
            PlaitError: when the application cannot be deployed, or would replace another.
        """
        if self._given is None and self._served != base_model:
            # Somebody may have begun to serve while adapters were trained.
            self.check_is_free()
            self._ours.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._ours, _NOT_YET)
            self._url = deploy(_config(self._recipe, base_model), on_progress=print)
            write_whole(self._ours, str(served_since(APPLICATION)))
            self._served = base_model
        return self._url

    def check_is_free(self) -> None:
        """Find out that an application is served which this one would replace.

        Raises:
            Conflict: when there is one that is not ours.
        """
        since = served_since(APPLICATION)
        if since is None:
            self._ours.unlink(missing_ok=True)  # left by one that was killed after it had taken its own down
        elif not self._is_ours(since):
            raise Conflict(
                "The cluster serves an application of Plait's already, which this one would replace.",
                f"Compare through it (--url {server_url()}), or take it down first.",
            )

    def keep(self) -> None:
        """Let an application with the recipe's base model go on, also where nobody had to be asked.

        Raises:
            PlaitError: when it cannot be deployed.
        """
        model = self._recipe.model
        if served_since(APPLICATION) is None or self._served not in ("", model):
            self.url_of(model)
        print(f"serving goes on at {self._url or server_url()}", flush=True)

    def end(self) -> None:
        """Take the application down, if it is ours."""
        if not self._ours.exists():
            return
        since = served_since(APPLICATION)
        if since is None or self._is_ours(since):  # None: also of one that is only about to be
            take_down()
        self._ours.unlink(missing_ok=True)

    def _is_ours(self, since: float) -> bool:
        # Somebody may have served another after the one that was kept.
        return self._ours.exists() and self._ours.read_text() in (_NOT_YET, str(since))


@contextmanager
def serving(recipe: CompareRecipe, url: str | None, is_kept: bool, folder: Path) -> Iterator[Serving]:
    """What serves the arms.

    Args:
        url, folder: as those of `Serving`.
        is_kept: whether it goes on when the block has ended well.

    Raises:
        Conflict: when an application of Plait's is served that is not ours, which this one would replace.
    """
    connect()
    served = Serving(recipe, url, folder)
    if url is not None:
        yield served
        return
    served.check_is_free()
    is_whole = False
    try:
        yield served
        if is_kept:
            served.keep()
        is_whole = True
    finally:
        if not (is_kept and is_whole):
            served.end()


def check_serving(recipe: CompareRecipe) -> None:
    """Find out that the recipe's args of the application are wrong.

    Raises:
        RecipeError: when they are, or leave out the retrieval that half of the arms need.
    """
    (application,) = _config(recipe, recipe.model)["applications"]
    if parse(application["args"]).retrieval is None:
        raise RecipeError("serve.retrieval is null, and the arms of rag/ answer by retrieval.", "Leave it out.")


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
