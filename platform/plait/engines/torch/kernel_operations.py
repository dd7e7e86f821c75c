"""The operations of a layer by the C kernels: bfloat16 on CPUs, each pass over memory once."""

from ctypes import byref

import torch
from torch import Tensor

from plait.engines.torch.kernels import Kernels
from plait.engines.torch.kernels.structures import AttentionFields, address
from plait.engines.torch.kv_cache import KeyValues
from plait.engines.torch.operations import Activation, Heads, Norm
from plait.engines.torch.step import StepInput

ACTIVATIONS: dict[Activation, int] = {"gelu_tanh": 0, "silu": 1}
_MOST_DIM, _MOST_GROUP, _LANES = 256, 16, 16  # what attention.c holds in registers and on its stack
_UNIT = 64  # positions that it packs at a time


def can_attend(heads: Heads) -> bool:
    """Whether the attention kernel is made for such heads."""
    return heads.dim <= _MOST_DIM and heads.dim % _LANES == 0 and heads.queries // heads.keys <= _MOST_GROUP


def attention_fields(heads: Heads, window: int | None, epsilon: float) -> AttentionFields:
    """`heads` for the kernels; `epsilon` of the norm of heads, where they have none any number."""
    weight = heads.norm.weight if heads.norm else None
    return AttentionFields(heads.queries, heads.keys, heads.dim, address(weight), epsilon, heads.scaling, window or 0)


def attention_memory(heads: Heads, step: StepInput) -> Tensor | None:
    """Working memory of the attention of a step's chunks."""
    ends = [span.end for span in step.spans[step.singles :]]
    if not ends:
        return None
    positions = -(-max(ends) // _UNIT) * _UNIT
    return torch.empty(positions * (2 * heads.keys * heads.dim + 18 * torch.get_num_threads()), dtype=torch.bfloat16)


class KernelOperations:
    """`Operations` by `kernels`."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def norm(self, hidden: Tensor, norm: Norm) -> Tensor:
        hidden = hidden.contiguous()
        out = torch.empty_like(hidden)
        self._kernels.rms_norm(hidden, norm.weight, norm.epsilon, out, *hidden.shape)
        return out

    def add_and_norm(self, hidden: Tensor, output: Tensor, after: Norm | None, before: Norm) -> Tensor:
        output, normed = output.contiguous(), torch.empty_like(hidden)
        self._kernels.add_and_norm(
            hidden, output, after.weight if after else None, before.weight, before.epsilon, normed, *hidden.shape
        )
        return normed

    def gate(self, gate_up: Tensor, activation: Activation) -> Tensor:
        rows, width = gate_up.shape[0], gate_up.shape[1] // 2
        out = gate_up.new_empty(rows, width)
        self._kernels.gated_activation(gate_up.contiguous(), out, rows, width, ACTIVATIONS[activation])
        return out

    def attend(
        self, qkv: Tensor, heads: Heads, step: StepInput, rotation: tuple[Tensor, Tensor], cache: KeyValues,
        layer: int, window: int | None,
    ) -> Tensor:  # fmt: skip
        qkv = qkv.contiguous()
        mixed = qkv.new_empty(len(qkv), heads.queries * heads.dim)
        fields = attention_fields(heads, window, heads.norm.epsilon if heads.norm else 0.0)
        self._kernels.attend(
            qkv, byref(fields), *rotation, step.slots, cache.keys[layer], cache.values[layer], step.span_table, mixed,
            attention_memory(heads, step), len(qkv), len(step.spans), cache.block_size,
        )  # fmt: skip
        return mixed
