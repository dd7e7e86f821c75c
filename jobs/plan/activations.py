"""What autograd keeps of a micro-batch until its backward pass.

In: an architecture, the adapter, and how a worker computes. Out: bytes a token. Korthikanti et al. 2022
(arXiv:2205.05198) count, for GPT and 16 bits, s b h (34 + 5 a s / h) bytes a layer. This is the same count, taken over
the operations of today's decoders (RMSNorm, gated MLP, grouped keys, no dropout) as Plait runs them: attention never
keeps its weights on a GPU, and a frozen linear layer keeps nothing. Of every decoder layer stay, in elements of the
compute type unless said otherwise:

    norms          their input; where norms are trained, their input and their result in float32
    attention      queries, keys, values (on a GPU repeated for every query head) and the result;
                   on a CPU with short rows: queries, keys, values and heads x row weights
    MLP            gate, activated gate, up; with a fused LoRA gate and up (plain MLP: what goes into the activation)
    linear layers  their input, once for those that share it, where they are trained or carry a LoRA
    adapters       what their method says (`MethodConfig.kept_bytes`)

It knows nothing of totals, devices' sizes or optimisers. tests/unit/jobs/plan/test_plan.py holds it against what
autograd keeps.
"""

from dataclasses import dataclass

from plait.adapters.methods.method import MethodConfig
from plait.jobs.plan.architecture import Architecture

_FLOAT32 = 4
# The last layer of attention or MLP; all others of a block share the block's input.
_LAST_OF_BLOCK = {"o_proj", "out_proj", "dense", "down_proj", "w2", "fc2", "c_proj"}


@dataclass(frozen=True)
class Pass:
    """How a worker computes: bytes of an element, tokens of a row, and whether attention keeps its weights (CPU, short
    rows)."""

    element_bytes: int
    row_tokens: int
    keeps_attention_weights: bool


def layer_bytes_a_token(shape: Architecture, adapter: MethodConfig, how: Pass) -> float:
    """Bytes that one decoder layer keeps of every token."""
    e = how.element_bytes
    return (
        _norms(shape, adapter, e)
        + e * _attention(shape, adapter, how)
        + e * _mlp(shape, adapter) * shape.intermediate
        + e * _linear_inputs(shape, adapter)
        + adapter.kept_bytes(shape.layer_linears, shape.hidden, e)
    )


def kept_bytes_a_token(shape: Architecture, adapter: MethodConfig, how: Pass, has_checkpoints: bool) -> float:
    """Bytes that the whole model keeps of every token: all layers; with gradient checkpointing the input of each, and
    all of the one that is being computed again. The last hidden state and its gradient come on top."""
    layer, edges = layer_bytes_a_token(shape, adapter, how), how.element_bytes * shape.hidden
    return (shape.layers * edges + layer if has_checkpoints else shape.layers * layer) + 2 * edges


def _norms(shape: Architecture, adapter: MethodConfig, e: int) -> float:
    if not (adapter.trains_base and shape.has_rms_norms):
        return e * sum(shape.norm_widths)
    # Gemma scales in float32, the others in the compute type.
    result_bytes = _FLOAT32 if shape.model_type.startswith("gemma") else e
    return (_FLOAT32 + result_bytes) * sum(shape.norm_widths)


def _attention(shape: Architecture, adapter: MethodConfig, how: Pass) -> float:
    if not how.keeps_attention_weights:
        return 4 * shape.query_width
    return shape.query_width + 2 * shape.key_width + shape.heads * (how.row_tokens + adapter.prefix_tokens)


def _mlp(shape: Architecture, adapter: MethodConfig) -> int:
    """How many tensors of the inner width an MLP keeps, the input of its last layer aside."""
    if not shape.is_gated:
        return 1
    return 2 if _is_gated_mlp_fused(shape, adapter) else 3


def _is_gated_mlp_fused(shape: Architecture, adapter: MethodConfig) -> bool:
    """Whether jobs/train/kernels/mlp.py takes over: then the input of the last layer is computed again."""
    last = [linear for linear in shape.layer_linears if linear.leaf == "down_proj"]
    return shape.is_gated and bool(last) and all(adapter.has_fused_lora(one) for one in last)


def _linear_inputs(shape: Architecture, adapter: MethodConfig) -> float:
    """Width of the distinct inputs that linear layers keep."""
    kept: dict[tuple[str, bool], int] = {}
    for linear in shape.layer_linears:
        if linear.leaf == "down_proj" and _is_gated_mlp_fused(shape, adapter):
            continue
        if adapter.trains_base or adapter.has_fused_lora(linear):
            kept[linear.name.rpartition(".")[0], linear.leaf in _LAST_OF_BLOCK] = linear.inputs
    return sum(kept.values())
