"""What always lies in memory: weights, gradients, the optimiser's states.

After Rajbhandari et al. 2019 (ZeRO, arXiv:1910.02054): with bfloat16 and Adam 2 + 2 + 12 bytes a parameter, divided
among the workers by stage. NF4 after Dettmers et al. 2023 (QLoRA, arXiv:2305.14314).
"""

from collections.abc import Iterable

from plait.jobs.plan.architecture import Architecture
from plait.jobs.plan.memory import Part
from plait.recipes import DeepSpeedConfig, TrainRecipe

_FLOAT32 = 4


def states(recipe: TrainRecipe, shape: Architecture, trained: int, is_cpu: bool) -> Iterable[Part]:
    zero = recipe.strategy if isinstance(recipe.strategy, DeepSpeedConfig) else None
    stage, workers = (zero.zero_stage if zero else 0), recipe.scale.workers
    weights, note = _weight_bytes(recipe, shape, is_cpu)
    yield Part(
        name="weights",
        bytes=weights / (workers if stage == 3 else 1),
        phase="always",
        where="host" if zero and zero.offload_parameters else "device",
        note=note,
    )
    if recipe.adapter.method != "full":
        # PEFT keeps an adapter's weights in float32.
        yield Part(name="adapter", bytes=_FLOAT32 * trained, phase="always", note="float32")
    in_host = zero is not None and zero.offload_optimizer
    gradient = element_bytes(recipe) if recipe.adapter.method == "full" else _FLOAT32
    share = workers if stage >= 2 else 1
    yield Part(
        name="gradients",
        bytes=gradient * trained / share,
        phase="always",
        where="host" if in_host and stage >= 2 else "device",
    )
    yield _optimizer(recipe, trained / (workers if zero else 1), bool(zero), in_host)


def _weight_bytes(recipe: TrainRecipe, shape: Architecture, is_cpu: bool) -> tuple[float, str]:
    e = element_bytes(recipe)
    if recipe.model.quantization == "none":
        return e * shape.parameters, recipe.model.dtype
    # 4 bits, a scale for every 64 weights, and of double quantisation a float32 for every 256 scales.
    scales = (1 + 4 / 256) / 64 if recipe.model.double_quantization else 4 / 64
    packed = (0.5 + scales) * shape.linear_parameters
    if is_cpu:
        # The file stays mapped for the embeddings, and what was read of it to be packed stays in the heap.
        file_bytes = e * shape.parameters + e * shape.linear_parameters
        return packed + file_bytes, f"nf4 {_gb(packed)}, the file stays in memory on a CPU"
    rest = e * (shape.parameters - shape.linear_parameters)
    return packed + rest, f"nf4 {_gb(packed)}, embeddings, head and norms {recipe.model.dtype} {_gb(rest)}"


def _optimizer(recipe: TrainRecipe, owned: float, is_deepspeed: bool, in_host: bool) -> Part:
    if recipe.train.optimizer == "paged_adamw_8bit" and not is_deepspeed:
        # Two moments of a byte, and a float32 scale for every 256 of each.
        return Part(name="optimiser", bytes=2 * (1 + 4 / 256) * owned, phase="always", note="8 bit, may be paged out")
    master = _FLOAT32 if is_deepspeed else 0
    gradient = _FLOAT32 if in_host else 0  # offloading keeps float32 gradients beside the moments
    return Part(
        name="optimiser",
        bytes=(2 * _FLOAT32 + master + gradient) * owned,
        phase="always",
        where="host" if in_host else "device",
        note="float32 moments" + (" and master weights" if master else "") + (" and gradients" if gradient else ""),
    )


def element_bytes(recipe: TrainRecipe) -> int:
    """Bytes of an element of what the model computes in."""
    return 2 if recipe.model.dtype == "bfloat16" else 4


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
