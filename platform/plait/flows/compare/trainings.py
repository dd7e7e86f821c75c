"""The trainings of a comparison: every tuned arm with every seed, and each further on what changed.

In: a recipe. Out: registered versions. A training that the same recipe and data have made before is used again.
"""

from dataclasses import dataclass

from plait.adapters.registry import AdapterVersion
from plait.adapters.tracking import tracking_client
from plait.flows.compare.side_by_side import train_all
from plait.jobs.compare.findings import Training
from plait.recipes import CompareRecipe, TrainRecipe


@dataclass(frozen=True)
class Trained:
    """A version, and what is to be told of its training."""

    version: AdapterVersion
    training: Training


def train_arms(recipe: CompareRecipe) -> list[Trained]:
    """Train every tuned arm on its examples, with every seed."""
    planned = [(arm, seed) for arm in recipe.tuned for seed in range(recipe.seeds)]
    versions = train_all([_seeded(recipe.tuned[arm], seed) for arm, seed in planned])
    return [_trained(arm, seed, False, version) for (arm, seed), version in zip(planned, versions, strict=True)]


def train_further(recipe: CompareRecipe, trained: list[Trained]) -> list[Trained]:
    """Train every version further on what changed: as many passes as its first training has, over these examples."""
    if recipe.changed is None or recipe.changed.train is None:
        return []
    adapters = [each for each in trained if each.training.arm in recipe.updated]
    versions = train_all(
        [
            _further(
                _seeded(recipe.tuned[each.training.arm], each.training.seed), each.version.key, recipe.changed.train
            )
            for each in adapters
        ]
    )
    return [
        _trained(each.training.arm, each.training.seed, True, version)
        for each, version in zip(adapters, versions, strict=True)
    ]


def _seeded(recipe: TrainRecipe, seed: int) -> TrainRecipe:
    """The recipe with the first seed, or so many after it, under a name of its own."""
    name = recipe.name if seed == 0 else f"{recipe.name}-seed-{seed}"
    seeded = recipe.train.model_copy(update={"seed": recipe.train.seed + seed})
    return recipe.model_copy(update={"name": name, "train": seeded})


def _further(recipe: TrainRecipe, version: str, examples: str) -> TrainRecipe:
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-updated",
            "continue_from": version,
            "data": recipe.data.model_copy(update={"train": examples}),
            "train": recipe.train.model_copy(update={"max_steps": None}),
        }
    )


def _trained(arm: str, seed: int, is_updated: bool, version: AdapterVersion) -> Trained:
    run = tracking_client().get_run(version.metadata.run_id).info
    seconds = (run.end_time - run.start_time) / 1000 if run.end_time is not None else None
    print(f"trained {version.key}" + (f", {seconds:.0f} s" if seconds is not None else ""), flush=True)
    measured = version.metadata.metrics
    return Trained(
        version,
        Training(
            arm,
            seed,
            is_updated,
            version.key,
            seconds,
            measured.get("general_perplexity_before"),
            measured.get("general_perplexity"),
        ),
    )
