"""GPUs to plan for, which of them a run fits on, how many it takes, and what to change where it does not fit.

In: a recipe and a model's architecture; memory and speed of GPUs come from their makers' data sheets. Out: a `GpuFit`
for every GPU, and `Change`s with what they would save.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from plait.errors import NotFound, did_you_mean
from plait.jobs.plan.architecture import Architecture, trained_parameters
from plait.jobs.plan.memory import memory_of
from plait.recipes import TrainRecipe

_MOST_WORKERS = 1024


class Gpu(BaseModel):
    """`memory_gb` in 10^9 bytes as sold; `bf16_tflops` of dense matrix products; `source` says where they stand."""

    model_config = ConfigDict(frozen=True)

    name: str
    memory_gb: float
    bf16_tflops: float
    source: str

    @property
    def memory_bytes(self) -> float:
        return self.memory_gb * 1e9

    def peak_flops(self, dtype: str) -> float:
        """Operations a second at most. In float32 torch leaves tensor cores aside; half of TF32's rate, a quarter of
        bf16's, stands in for the many rates that data sheets give."""
        return self.bf16_tflops * 1e12 * (1.0 if dtype == "bfloat16" else 0.25)


@cache
def known_gpus() -> tuple[Gpu, ...]:
    """By memory, smallest first."""
    entries = yaml.safe_load((files("plait.jobs.plan") / "gpus.yaml").read_text("utf-8"))
    return tuple(sorted((Gpu.model_validate(entry) for entry in entries), key=lambda gpu: gpu.memory_gb))


def find_gpu(name: str) -> Gpu:
    """The GPU of that name; letter case, spaces and dashes do not matter.

    Raises:
        NotFound: when the table has none, with the nearest names.
    """
    by_name = {_plain(gpu.name): gpu for gpu in known_gpus()}
    if _plain(name) in by_name:
        return by_name[_plain(name)]
    raise NotFound(f"There is no GPU '{name}' in the table.", did_you_mean(name, [gpu.name for gpu in known_gpus()]))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


# ---------------------------------------------------------------- what fits


class GpuFit(BaseModel):
    """A GPU, what every worker needs of its memory with the recipe as it stands, and from how many workers on it fits:
    None where no number of them is enough."""

    model_config = ConfigDict(frozen=True)

    gpu: Gpu
    needed_bytes: float
    workers_needed: int | None

    @property
    def is_enough(self) -> bool:
        return self.needed_bytes <= self.gpu.memory_bytes


class Change(BaseModel):
    """Fields to set, each change on top of those before, and what a worker then needs."""

    model_config = ConfigDict(frozen=True)

    overrides: tuple[str, ...]
    why: str
    needed_bytes: float


def on_gpus(recipe: TrainRecipe) -> TrainRecipe:
    """The recipe with a GPU a worker, if it has none."""
    return recipe if recipe.scale.gpus_per_worker else with_fields(recipe, {"scale.gpus_per_worker": 1})


def fit_of(recipe: TrainRecipe, shape: Architecture, gpu: Gpu) -> GpuFit:
    """Whether a recipe fits on a GPU, and with how many workers it would."""
    needed = _needed_bytes(recipe, shape)
    return GpuFit(gpu=gpu, needed_bytes=needed, workers_needed=_workers_needed(recipe, shape, gpu))


def _workers_needed(recipe: TrainRecipe, shape: Architecture, gpu: Gpu) -> int | None:
    workers = 1
    while workers <= _MOST_WORKERS:
        if _needed_bytes(with_fields(recipe, {"scale.workers": workers}), shape) <= gpu.memory_bytes:
            return workers
        workers *= 2
    return None


def changes_of(recipe: TrainRecipe, shape: Architecture) -> list[Change]:
    """What makes a recipe need less, the mildest change first; each stands on those before it."""
    changes: list[Change] = []
    changed = recipe
    for fields, why in _smaller(recipe):
        changed = with_fields(changed, fields)
        overrides = tuple(f"{key}={_written(value)}" for key, value in fields.items())
        changes.append(Change(overrides=overrides, why=why, needed_bytes=_needed_bytes(changed, shape)))
    return changes


def _smaller(recipe: TrainRecipe) -> Iterator[tuple[dict[str, Any], str]]:
    is_full = recipe.adapter.trains_base
    if not recipe.train.gradient_checkpointing:
        yield {"train.gradient_checkpointing": True}, "activations are computed again: a quarter more time"
    if recipe.train.micro_batch_tokens > recipe.data.max_tokens:
        yield {"train.micro_batch_tokens": recipe.data.max_tokens}, "one row at a time"
    if is_full:
        if recipe.strategy.kind != "deepspeed" or recipe.strategy.zero_stage < 3:
            yield (
                {"model.dtype": "bfloat16", "strategy.kind": "deepspeed", "strategy.zero_stage": 3},
                "weights, gradients and optimiser states are divided among the workers",
            )
        if not getattr(recipe.strategy, "offload_optimizer", False):
            yield {"strategy.offload_optimizer": True}, "the optimiser's states move to host memory: slower steps"
        if not getattr(recipe.strategy, "offload_parameters", False):
            yield {"strategy.offload_parameters": True}, "weights move to host memory: much slower steps"
        yield {"adapter": {"method": "lora", "rank": 16, "alpha": 32}, "strategy": {"kind": "ddp"}}, "LoRA instead"
    if recipe.model.quantization == "none":
        yield {"model.quantization": "nf4"}, "QLoRA: the base model in 4 bits"


def with_fields(recipe: TrainRecipe, fields: dict[str, Any]) -> TrainRecipe:
    """The recipe with dotted fields set."""
    values = recipe.model_dump()
    for key, value in fields.items():
        *sections, name = key.split(".")
        inner = values
        for section in sections:
            inner = inner[section]
        inner[name] = value
    return TrainRecipe.model_validate(values)


def _needed_bytes(recipe: TrainRecipe, shape: Architecture) -> float:
    return memory_of(recipe, shape, trained_parameters(shape.source, recipe.adapter)).peak_bytes


def _written(value: Any) -> str:
    """As it is typed on the command line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {inner}" for key, inner in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
