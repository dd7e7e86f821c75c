"""The operations of a layer other than its matrix products, in torch: on any device, in any type.

`KernelOperations` does the same with kernels of our own. Tensors are those of one step: rows are its packed tokens.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from plait.engines.torch.kv_cache import KeyValues
from plait.engines.torch.step import StepInput

Activation = Literal["gelu_tanh", "silu"]


@dataclass(frozen=True)
class Norm:
    """Root mean square norm (Zhang and Sennrich 2019, arXiv:1910.07467): float32 factors, of the last axis."""

    weight: Tensor
    epsilon: float


@dataclass(frozen=True)
class Heads:
    """How an attention is divided.

    Attributes:
        queries, keys: how many heads there are of each; several queries share a head of keys and values.
        dim: width of a head.
        scaling: of the scores.
        norm: of the heads of queries and keys, [queries + keys, dim], where the model has one.
    """

    queries: int
    keys: int
    dim: int
    scaling: float
    norm: Norm | None


class Operations(Protocol):
    """What a layer asks for."""

    def norm(self, hidden: Tensor, norm: Norm) -> Tensor:
        """[t, d] normed, in float32 inside."""
        ...

    def add_and_norm(self, hidden: Tensor, output: Tensor, after: Norm | None, before: Norm) -> Tensor:
        """Add a sublayer's output, normed by `after`, to `hidden` in place; returns that normed by `before`."""
        ...

    def gate(self, gate_up: Tensor, activation: Activation) -> Tensor:
        """activation(gate) * up, [t, n], of both side by side, [t, 2 n]."""
        ...

    def attend(
        self, qkv: Tensor, heads: Heads, step: StepInput, rotation: tuple[Tensor, Tensor], cache: KeyValues,
        layer: int, window: int | None,
    ) -> Tensor:  # fmt: skip
        """Rotate queries and keys, keep keys and values, attend; [t, queries * dim] of [t, (queries + 2 keys) * dim].

        `rotation`: cosine and signed sine, [t, 1, dim]. May overwrite `qkv`.
        """
        ...


class TorchOperations:
    """`Operations` as torch has them."""

    def norm(self, hidden: Tensor, norm: Norm) -> Tensor:
        exact = hidden.float()
        scale = exact.square().mean(-1, keepdim=True).add_(norm.epsilon).rsqrt_()
        return (exact * scale).mul_(norm.weight).to(hidden.dtype)

    def add_and_norm(self, hidden: Tensor, output: Tensor, after: Norm | None, before: Norm) -> Tensor:
        hidden += output if after is None else self.norm(output, after)
        return self.norm(hidden, before)

    def gate(self, gate_up: Tensor, activation: Activation) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        return (F.gelu(gate, approximate="tanh") if activation == "gelu_tanh" else F.silu(gate)) * up

    def attend(
        self, qkv: Tensor, heads: Heads, step: StepInput, rotation: tuple[Tensor, Tensor], cache: KeyValues,
        layer: int, window: int | None,
    ) -> Tensor:  # fmt: skip
        both, values = qkv.unflatten(-1, (-1, heads.dim)).split([heads.queries + heads.keys, heads.keys], dim=1)
        if heads.norm is not None:
            both = self.norm(both, heads.norm)
        cos, sin = rotation
        both = both * cos + both.roll(heads.dim // 2, dims=-1) * sin
        queries, keys = both.split([heads.queries, heads.keys], dim=1)
        cache.write(layer, step.slots, keys, values)
        mixed = torch.empty_like(queries)
        if step.singles:
            # Queries that share a head of keys and values stand behind each other, as if they were more positions.
            grouped = queries[: step.singles].unflatten(1, (heads.keys, -1))  # [t, keys, group, dim]
            metadata = step.singles_metadata(window)
            read_keys, read_values = cache.read(layer, metadata.blocks)
            mixed[: step.singles] = F.scaled_dot_product_attention(
                grouped, read_keys, read_values, attn_mask=metadata.mask, scale=heads.scaling
            ).flatten(1, 2)
        _attend_chunks(queries, mixed, heads, step, cache, layer, window)
        return mixed.flatten(1)


def _attend_chunks(
    queries: Tensor, mixed: Tensor, heads: Heads, step: StepInput, cache: KeyValues, layer: int, window: int | None
) -> None:
    """Attention of the chunks of prompts: `mixed` gets what `queries` read, both [t, queries, dim]."""
    for index, (first, end) in enumerate(step.chunks):
        metadata = step.chunk_metadata(index, window)
        keys, values = cache.read(layer, metadata.blocks)
        asked = queries[first:end].unflatten(1, (heads.keys, -1)).permute(1, 2, 0, 3)  # [keys, group, chunk, dim]
        mixed[first:end] = (
            F.scaled_dot_product_attention(
                asked,
                keys.transpose(0, 1).expand(-1, asked.shape[1], -1, -1),
                values.transpose(0, 1).expand(-1, asked.shape[1], -1, -1),
                attn_mask=metadata.mask,
                scale=heads.scaling,
            )
            .permute(2, 0, 1, 3)
            .flatten(1, 2)
        )
