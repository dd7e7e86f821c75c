"""The arms of a comparison: the ways to answer that are compared.

In: a recipe. Out: arms. It asks nobody; who serves an arm is told by `plait.flows.compare`.
"""

from dataclasses import dataclass
from typing import Literal

from plait.recipes import CompareRecipe

ArmKind = Literal["base", "icl", "adapter", "full", "endpoint"]


@dataclass(frozen=True)
class Arm:
    """One way to answer.

    Attributes:
        kind: of whose weights answer: the base model's, without or with examples in the prompt; an adapter's; those of
            a model that was trained whole; somebody else's.
        trained: the tuned arm whose weights answer; empty for weights that nobody trained here.
        retrieves: whether passages of the index stand in the prompt.
        is_updated: whether the weights were trained further on what changed.
        seeds: trainings, each of which answers every question.
    """

    name: str
    kind: ArmKind = "base"
    trained: str = ""
    retrieves: bool = False
    is_updated: bool = False
    seeds: int = 1

    @property
    def runs(self) -> tuple[str, ...]:
        """What the arm is called in the evaluation: by its name, or by its name and seed where there are several."""
        if self.seeds == 1:
            return (self.name,)
        return tuple(f"{self.name} (seed {seed})" for seed in range(self.seeds))


def arms_of(recipe: CompareRecipe) -> list[Arm]:
    """All arms of a recipe, those without retrieval first."""
    plain = [Arm("base")]
    if recipe.icl is not None:
        plain.append(Arm("icl", "icl"))
    for name, training in recipe.tuned.items():
        kind: ArmKind = "full" if training.adapter.trains_base else "adapter"
        plain.append(Arm(name, kind, trained=name, seeds=recipe.seeds))
    plain += [Arm(f"{name} updated", "adapter", name, is_updated=True, seeds=recipe.seeds) for name in recipe.updated]
    grounded = [
        Arm(f"rag/{arm.name}", arm.kind, arm.trained, True, arm.is_updated, arm.seeds)
        for arm in plain
        if arm.kind != "icl"
    ]
    return [*plain, *grounded, *(Arm(name, "endpoint") for name in recipe.endpoints)]
