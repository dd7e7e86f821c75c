"""What shall run on a cluster: one of Plait's jobs with its recipe, what it needs, and where it came from.

In: the arguments of the local command. Out: a `JobOrder` with a checked recipe. It knows no cluster.
"""

import getpass
import hashlib
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from plait import __version__
from plait.errors import InvalidInput
from plait.recipes import CompareRecipe, EvaluateRecipe, IngestRecipe, TrainRecipe, load_recipe
from plait.section import Section

Kind = Literal["ingest", "train", "evaluate", "compare"]
RECIPES: dict[Kind, type[Section]] = {
    "ingest": IngestRecipe,
    "train": TrainRecipe,
    "evaluate": EvaluateRecipe,
    "compare": CompareRecipe,
}
_MODULES: dict[Kind, str] = {
    "ingest": "plait.jobs.ingest",
    "train": "plait.jobs.train",
    "evaluate": "plait.jobs.evaluate",
    "compare": "plait.flows.compare",
}
"""What `python -m` runs on the cluster."""
RECIPE_FILE = "recipe.yaml"


class JobOrder(BaseModel):
    """A job that could be submitted, wherever it waits.

    Attributes:
        id: Ray's submission id.
        recipe: all fields of a checked recipe.
        title: what the user called it: the name of the recipe.
        options: of the command, as in --url.
        retries: how often it is started again when it fails.
        environment: variables of the job.
        metadata: lineage, for Ray's own tools.
        demand: CPUs and GPUs that it takes while it runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: Kind
    recipe: dict[str, Any]
    title: str
    options: list[str] = []
    retries: int = 0
    environment: dict[str, str] = {}
    metadata: dict[str, str] = {}
    demand: dict[str, float] = {}

    @property
    def entrypoint(self) -> str:
        """The shell command that the cluster runs, in the folder that was shipped."""
        command = [_MODULES[self.kind], RECIPE_FILE, *self.options]
        if self.retries:
            command = ["plait.jobs.submission.attempts", str(self.retries), *command]
        return shlex.join(["python", "-m", *command])


def read_recipe(kind: Kind, recipe: str | None, overrides: Sequence[str], gpus: int | None) -> Section:
    """The recipe of a job, checked.

    Args:
        gpus: train on so many, one a worker.

    Raises:
        RecipeError: for everything that is wrong with it.
        InvalidInput: for GPUs of a job that uses none.
    """
    if gpus is None:
        return load_recipe(RECIPES[kind], recipe, overrides)
    if kind not in ("train", "compare"):
        raise InvalidInput(f"--num-gpus goes with train and compare, not with {kind}.")
    without = load_recipe(RECIPES[kind], recipe, overrides)
    scaled = [f"tuned.{arm}.scale" for arm in without.tuned] if isinstance(without, CompareRecipe) else ["scale"]
    on_gpus = [f"{scale}.{field}" for scale in scaled for field in (f"workers={gpus}", "gpus_per_worker=1")]
    return load_recipe(RECIPES[kind], recipe, [*overrides, *on_gpus])


def title_of(recipe: Section) -> str:
    """What a user calls the job: the name of what it makes or asks."""
    if isinstance(recipe, TrainRecipe):
        return recipe.name
    if isinstance(recipe, IngestRecipe):
        return recipe.collection
    if isinstance(recipe, CompareRecipe):
        return recipe.name
    assert isinstance(recipe, EvaluateRecipe)
    return Path(recipe.data).stem


def make_order(
    kind: Kind,
    recipe: Section,
    options: Sequence[str] = (),
    retries: int = 0,
    environment: dict[str, str] | None = None,
) -> JobOrder:
    """An order with an id of its own and its lineage."""
    values, title = recipe.model_dump(mode="json"), title_of(recipe)
    text = yaml.safe_dump(values)
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:32] or kind
    demand = demand_of(recipe)
    return JobOrder(
        id=f"{kind}-{slug}-{secrets.token_hex(3)}",
        kind=kind,
        recipe=values,
        title=title,
        options=list(options),
        retries=retries,
        environment=environment or {},
        metadata={
            "plait.kind": kind,
            "plait.recipe": title,
            "plait.recipe_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "plait.user": getpass.getuser(),
            "plait.version": __version__,
            "plait.cpus": f"{demand.get('CPU', 0):g}",
            "plait.gpus": f"{demand.get('GPU', 0):g}",
            **_git_lineage(),
        },
        demand=demand,
    )


def demand_of(recipe: Section) -> dict[str, float]:
    """CPUs and GPUs that a job holds at once, at its largest step."""
    if isinstance(recipe, CompareRecipe):
        steps = [demand_of(step) for step in (recipe.ingest, *recipe.tuned.values())]
        return {kind: max(step.get(kind, 0.0) for step in steps) for kind in ("CPU", "GPU")}
    if isinstance(recipe, TrainRecipe):
        scale = recipe.scale
        return {"CPU": scale.workers * scale.cpus_per_worker, "GPU": scale.workers * scale.gpus_per_worker}
    return {"CPU": 1.0 if isinstance(recipe, IngestRecipe) else 0.0, "GPU": 0.0}


def _git_lineage() -> dict[str, str]:
    """The commit that is checked out in this folder, `-dirty` when it has changed since."""
    if shutil.which("git") is None:
        return {}
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {"plait.git_commit": described.stdout.strip()} if described.returncode == 0 else {}
