"""The memory of one worker, part by part, and the peak that the parts make.

In: a recipe and the model's architecture. Out: a `Memory`. Every part has a phase: some always exist (weights,
gradients, the optimiser's states), some only while a micro-batch is computed, some only in its loss, some only in the
optimiser's step; the peak is the largest sum that exists at once. It knows nothing of particular GPUs.

States after Rajbhandari et al. 2019 (ZeRO, arXiv:1910.02054): with bfloat16 and Adam 2 + 2 + 12 bytes a parameter,
divided among the workers by stage. NF4 after Dettmers et al. 2023 (QLoRA, arXiv:2305.14314).
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from plait.jobs.plan import overheads
from plait.jobs.plan.activations import Pass, kept_bytes_a_token, layer_bytes_a_token
from plait.jobs.plan.architecture import Architecture
from plait.recipes import DeepSpeedConfig, TrainRecipe

_FLOAT32 = 4
_SHORT_ROW = 1024  # of jobs/train/trainable.py: up to here a CPU keeps the weights of attention

Phase = Literal["always", "pass", "loss", "step"]


class Part(BaseModel):
    """`bytes` that a worker needs for one thing; `phase` says when; `where` says on its device or in host memory."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: float
    phase: Phase
    where: Literal["device", "host"] = "device"
    note: str = ""


class Memory(BaseModel):
    """Parts of one worker's memory, and their peak. A CPU's heap keeps what activations took while the step runs."""

    model_config = ConfigDict(frozen=True)

    is_cpu: bool
    parts: tuple[Part, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def peak_bytes(self) -> float:
        """Most that exists at once on the worker's device."""
        always, in_pass, in_loss, in_step = (self._sum(phase) for phase in ("always", "pass", "loss", "step"))
        if self.is_cpu:
            return always + in_pass + max(in_loss, in_step)
        return always + max(in_pass + in_loss, in_step)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def host_bytes(self) -> float:
        """What the worker holds in host memory instead."""
        return sum(part.bytes for part in self.parts if part.where == "host")

    def of(self, *names: str) -> float:
        """Bytes of the parts of these names, wherever they lie."""
        return sum(part.bytes for part in self.parts if part.name in names)

    def _sum(self, phase: str) -> float:
        return sum(part.bytes for part in self.parts if part.phase == phase and part.where == "device")


def memory_of(recipe: TrainRecipe, shape: Architecture, trained: int) -> Memory:
    """Plan the memory of one worker that trains `trained` parameters of a model."""
    is_cpu = recipe.scale.gpus_per_worker == 0
    parts = (
        *_states(recipe, shape, trained, is_cpu),
        *_passes(recipe, shape, is_cpu),
        *_exchanges(recipe, trained),
        _process(recipe, is_cpu),
    )
    return Memory(is_cpu=is_cpu, parts=tuple(part for part in parts if part.bytes > 0))


def _process(recipe: TrainRecipe, is_cpu: bool) -> Part:
    if not is_cpu:
        return Part(name="process", bytes=overheads.CUDA_PROCESS_BYTES, phase="always", note="CUDA context and kernels")
    count = overheads.CPU_PROCESS_BYTES
    if not recipe.adapter.trains_base:
        count += overheads.CPU_PEFT_BYTES
    count += recipe.adapter.worker_bytes
    return Part(name="process", bytes=count, phase="always", note="Python, torch, Ray")


# ---------------------------------------------------------------- what always exists


def _states(recipe: TrainRecipe, shape: Architecture, trained: int, is_cpu: bool) -> Iterable[Part]:
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
    if not recipe.adapter.trains_base:
        # PEFT keeps an adapter's weights in float32.
        yield Part(name="adapter", bytes=_FLOAT32 * trained, phase="always", note="float32")
    in_host = zero is not None and zero.offload_optimizer
    gradient = _element_bytes(recipe) if recipe.adapter.trains_base else _FLOAT32
    share = workers if stage >= 2 else 1
    yield Part(
        name="gradients",
        bytes=gradient * trained / share,
        phase="always",
        where="host" if in_host and stage >= 2 else "device",
    )
    yield _optimizer(recipe, trained / (workers if zero else 1), bool(zero), in_host)


def _weight_bytes(recipe: TrainRecipe, shape: Architecture, is_cpu: bool) -> tuple[float, str]:
    e = _element_bytes(recipe)
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


def _element_bytes(recipe: TrainRecipe) -> int:
    """Bytes of an element of what the model computes in."""
    return 2 if recipe.model.dtype == "bfloat16" else 4


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


# ---------------------------------------------------------------- what exists for a while


def _passes(recipe: TrainRecipe, shape: Architecture, is_cpu: bool) -> Iterable[Part]:
    e, tokens = _element_bytes(recipe), _micro_batch_tokens(recipe)
    row_tokens = min(recipe.data.max_tokens, tokens)
    how = Pass(e, row_tokens, keeps_attention_weights=is_cpu and recipe.data.max_tokens <= _SHORT_ROW)
    kept = kept_bytes_a_token(shape, recipe.adapter, how, recipe.train.gradient_checkpointing)
    if is_cpu:
        kept *= overheads.CPU_HEAP_FACTOR
    else:
        # The gradients under way in one layer are about what it kept.
        kept += layer_bytes_a_token(shape, recipe.adapter, how)
    note = f"{tokens:,} tokens" + (", gradient checkpointing" if recipe.train.gradient_checkpointing else "")
    yield Part(name="activations", bytes=kept * tokens, phase="pass", note=note)
    yield _loss(recipe, shape, tokens, is_cpu)


def _micro_batch_tokens(recipe: TrainRecipe) -> int:
    """Tokens that go through a worker's model at once, at most."""
    rows = max(1, recipe.train.batch_size // recipe.scale.workers)
    return min(max(recipe.train.micro_batch_tokens, recipe.data.max_tokens), rows * recipe.data.max_tokens)


def _loss(recipe: TrainRecipe, shape: Architecture, tokens: int, is_cpu: bool) -> Part:
    """Logits, a chunk at a time, and the gradient of the head where it is trained."""
    e = _element_bytes(recipe)
    uses_liger = not is_cpu and not recipe.objective.is_per_token
    chunk_tokens = tokens
    if uses_liger:
        # Hsu et al. 2024 (Liger Kernel, arXiv:2410.10989): chunks whose logits are as large as the hidden states.
        ratio = -(-shape.vocabulary // shape.hidden)
        chunk_tokens = 1 << (-(-tokens // ratio) - 1).bit_length()
    logits = e * shape.vocabulary * min(chunk_tokens, tokens)
    logits = logits if uses_liger else min(logits, overheads.LOSS_CHUNK_BYTES)
    if recipe.train.kl_weight:  # those of the base, too, and no kernel of Liger's
        logits = max(logits, 2 * min(e * shape.vocabulary * tokens, overheads.LOSS_CHUNK_BYTES))
    if not recipe.adapter.trains_base:
        return Part(name="logits", bytes=logits, phase="loss")
    # The gradient as it is summed (float32 on a CPU), and scaled, in the type of the weights.
    summed = e if uses_liger else _FLOAT32
    narrowed = 0 if summed == e else e
    gradient = (summed + _FLOAT32 + narrowed) * shape.head_parameters
    return Part(name="logits", bytes=max(logits + summed * shape.head_parameters, gradient), phase="loss",
                note="with the gradient of the head")  # fmt: skip


def _exchanges(recipe: TrainRecipe, trained: int) -> Iterable[Part]:
    workers, e, is_cpu = recipe.scale.workers, _element_bytes(recipe), recipe.scale.gpus_per_worker == 0
    if not isinstance(recipe.strategy, DeepSpeedConfig):
        if workers > 1:
            yield Part(name="step", bytes=_FLOAT32 * trained, phase="step", note="gradients in one message")
        return
    zero = recipe.strategy
    # A CPU holds only the pages of a buffer that were written to.
    bucket = min(trained, overheads.ZERO_BUCKET_ELEMENTS) if is_cpu else overheads.ZERO_BUCKET_ELEMENTS
    yield Part(name="gradient bucket", bytes=e * bucket, phase="loss", note="DeepSpeed's reduce_bucket_size")
    if zero.zero_stage == 3:
        live = min(trained, overheads.ZERO_LIVE_ELEMENTS)
        yield Part(name="gathered weights", bytes=e * live, phase="pass", note="DeepSpeed's stage3_max_live_parameters")
    owned = trained / workers
    if zero.zero_stage == 3:
        owned = min(owned, overheads.ZERO_SUB_GROUP_ELEMENTS)
    # Adam's denominator, in two steps on a CPU; and float32 gradients, in place of the others except in ZeRO-3.
    adam = _FLOAT32 * (2 if is_cpu or zero.offload_optimizer else 1)
    gradients = 0 if zero.offload_optimizer else _FLOAT32 - (e if zero.zero_stage < 3 else 0)
    yield Part(
        name="step",
        bytes=(adam + gradients) * owned,
        phase="always" if zero.offload_optimizer else "step",
        where="host" if zero.offload_optimizer else "device",
        note="float32 gradients, Adam's denominator",
    )
