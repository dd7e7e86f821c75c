"""What lies in memory for a while: activations and logits of a micro-batch, ZeRO's buffers, temporaries of the step."""

from collections.abc import Iterable

from plait.jobs.plan import overheads
from plait.jobs.plan.activations import Pass, kept_bytes_a_token, layer_bytes_a_token
from plait.jobs.plan.architecture import Architecture
from plait.jobs.plan.memory import Part
from plait.jobs.plan.states import element_bytes
from plait.recipes import DeepSpeedConfig, TrainRecipe

_FLOAT32 = 4
_SHORT_ROW = 1024  # of jobs/train/trainable.py: up to here a CPU keeps the weights of attention


def passes(recipe: TrainRecipe, shape: Architecture, is_cpu: bool) -> Iterable[Part]:
    e, tokens = element_bytes(recipe), micro_batch_tokens(recipe)
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


def micro_batch_tokens(recipe: TrainRecipe) -> int:
    """Tokens that go through a worker's model at once, at most."""
    rows = max(1, recipe.train.batch_size // recipe.scale.workers)
    return min(max(recipe.train.micro_batch_tokens, recipe.data.max_tokens), rows * recipe.data.max_tokens)


def _loss(recipe: TrainRecipe, shape: Architecture, tokens: int, is_cpu: bool) -> Part:
    """Logits, a chunk at a time, and the gradient of the head where it is trained."""
    e = element_bytes(recipe)
    uses_liger = not is_cpu and recipe.objective.kind != "dpo"
    chunk_tokens = tokens
    if uses_liger:
        # Hsu et al. 2024 (Liger Kernel, arXiv:2410.10989): chunks whose logits are as large as the hidden states.
        ratio = -(-shape.vocabulary // shape.hidden)
        chunk_tokens = 1 << (-(-tokens // ratio) - 1).bit_length()
    logits = e * shape.vocabulary * min(chunk_tokens, tokens)
    logits = logits if uses_liger else min(logits, overheads.LOSS_CHUNK_BYTES)
    if recipe.adapter.method != "full":
        return Part(name="logits", bytes=logits, phase="loss")
    # The gradient as it is summed (float32 on a CPU), and scaled, in the type of the weights.
    summed = e if uses_liger else _FLOAT32
    narrowed = 0 if summed == e else e
    gradient = (summed + _FLOAT32 + narrowed) * shape.head_parameters
    return Part(name="logits", bytes=max(logits + summed * shape.head_parameters, gradient), phase="loss",
                note="with the gradient of the head")  # fmt: skip


def exchanges(recipe: TrainRecipe, trained: int) -> Iterable[Part]:
    workers, e, is_cpu = recipe.scale.workers, element_bytes(recipe), recipe.scale.gpus_per_worker == 0
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
