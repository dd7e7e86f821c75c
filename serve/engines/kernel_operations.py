"""The operations of a layer by the C kernels: bfloat16 on CPUs, each pass over memory once."""

import torch
from torch import Tensor

from plait.serve.engines.kernels import Kernels
from plait.serve.engines.kv_cache import KeyValues
from plait.serve.engines.operations import Activation, Heads, Norm, attend_chunks
from plait.serve.engines.step import StepInput

_ACTIVATIONS: dict[Activation, int] = {"gelu_tanh": 0, "silu": 1}
MOST_DIM, MOST_GROUP = 256, 16
"""What the attention kernel holds in registers and on its stack: see attention.c."""


class KernelOperations:
    """`Operations` by `kernels`."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    @staticmethod
    def can_attend(heads: Heads) -> bool:
        """Whether the attention kernel is made for such heads."""
        return heads.dim <= MOST_DIM and heads.dim % 2 == 0 and heads.queries // heads.keys <= MOST_GROUP

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
        self._kernels.gated_activation(gate_up.contiguous(), out, rows, width, _ACTIVATIONS[activation])
        return out

    def attend(
        self, qkv: Tensor, heads: Heads, step: StepInput, rotation: tuple[Tensor, Tensor], cache: KeyValues,
        layer: int, window: int | None,
    ) -> Tensor:  # fmt: skip
        qkv = qkv.contiguous()
        keys, values = cache.keys[layer], cache.values[layer]
        shape = (heads.queries, heads.keys, heads.dim)
        norm = heads.norm
        self._kernels.rotate_and_store(
            qkv, norm.weight if norm else None, norm.epsilon if norm else 0.0, *rotation, step.slots, keys, values,
            len(qkv), *shape,
        )  # fmt: skip
        mixed = qkv.new_empty(len(qkv), heads.queries, heads.dim)
        if step.singles:
            reach = step.single_reach[window]
            self._kernels.attend_singles(
                qkv, keys, values, reach.blocks, reach.blocks.shape[1], reach.offsets, reach.begins, reach.ends, mixed,
                heads.scaling, step.singles, *shape, cache.block_size,
            )  # fmt: skip
        queries = qkv.unflatten(-1, (-1, heads.dim))[:, : heads.queries]
        attend_chunks(queries, mixed, heads, step, cache, layer, window)
        return mixed.flatten(1)
