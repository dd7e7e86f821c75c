"""From a recipe and an architecture to the memory of one worker."""

from plait.jobs.plan import overheads
from plait.jobs.plan.architecture import Architecture
from plait.jobs.plan.memory import Memory, Part
from plait.jobs.plan.states import states
from plait.jobs.plan.working import exchanges, passes
from plait.recipes import LoraConfig, TrainRecipe


def memory_of(recipe: TrainRecipe, shape: Architecture, trained: int) -> Memory:
    """Plan the memory of one worker that trains `trained` parameters of a model."""
    is_cpu = recipe.scale.gpus_per_worker == 0
    parts = (
        *states(recipe, shape, trained, is_cpu),
        *passes(recipe, shape, is_cpu),
        *exchanges(recipe, trained),
        _process(recipe, is_cpu),
    )
    return Memory(is_cpu=is_cpu, parts=tuple(part for part in parts if part.bytes > 0))


def _process(recipe: TrainRecipe, is_cpu: bool) -> Part:
    if not is_cpu:
        return Part(name="process", bytes=overheads.CUDA_PROCESS_BYTES, phase="always", note="CUDA context and kernels")
    count = overheads.CPU_PROCESS_BYTES
    if recipe.adapter.method != "full":
        count += overheads.CPU_PEFT_BYTES
    if isinstance(recipe.adapter, LoraConfig) and recipe.adapter.dora:
        count += overheads.CPU_DORA_BYTES
    return Part(name="process", bytes=count, phase="always", note="Python, torch, Ray")
