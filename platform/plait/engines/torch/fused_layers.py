"""All layers of a step in one call of the kernels: no work of Python's, and its lock released, between them."""

from collections.abc import Mapping, Sequence
from ctypes import byref
from itertools import pairwise

from torch import Tensor

from plait.engines.torch.kernel_linear import working_memory
from plait.engines.torch.kernel_operations import ACTIVATIONS, attention_fields, attention_memory
from plait.engines.torch.kernels import Kernels
from plait.engines.torch.kernels.structures import (
    LayerFields,
    MemoryFields,
    SiteFields,
    StepFields,
    address,
    ends,
)
from plait.engines.torch.kv_cache import KeyValues
from plait.engines.torch.layer import Layer
from plait.engines.torch.operations import Norm
from plait.engines.torch.projection import GatheredRows, Projection
from plait.engines.torch.step import StepInput


class FusedLayers:
    """A decoder's layers.

    Args:
        layers: all projections of which are `KernelLinear`s; see `can_fuse`.
        final_norm: what comes out of the last layer is normed by it.
    """

    def __init__(self, kernels: Kernels, layers: Sequence[Layer], final_norm: Norm) -> None:
        self._kernels, self._layers, self._first_norm = kernels, layers, layers[0].before_attention
        self._norms = [*(layer.before_attention for layer in layers), final_norm]  # kept: the fields hold addresses
        self._fields = (LayerFields * len(layers))(
            *(_layer_fields(layer, after) for layer, (_, after) in zip(layers, pairwise(self._norms), strict=True))
        )
        self._sizes = {
            name: max(getattr(fields, site).linear.outputs for fields in self._fields)
            for name, site in (("qkv", "qkv"), ("output", "out"), ("gate_up", "gate_up"))
        }
        self._sizes |= {
            name: max(getattr(fields, site).linear.inputs for fields in self._fields)
            for name, site in (("normed", "qkv"), ("mixed", "out"), ("gated", "down"))
        }
        self._is_int8 = any(p.is_int8 for layer in layers for p in layer.projections.values())

    def __call__(
        self,
        hidden: Tensor,
        step: StepInput,
        rotations: Mapping[str | None, tuple[Tensor, Tensor]],
        cache: KeyValues,
        gathered: GatheredRows | None,
    ) -> Tensor:
        """[t, d] of embedded tokens [t, d], which are overwritten; normed."""
        sites = 0
        for index, (layer, fields) in enumerate(zip(self._layers, self._fields, strict=True)):
            cos, sin = rotations[layer.kind]
            fields.cos, fields.sin = address(cos), address(sin)
            fields.keys, fields.values = address(cache.keys[index]), address(cache.values[index])
            for site in (fields.qkv, fields.out, fields.gate_up, fields.down):
                site.adapters = address(gathered.adapters[sites]) if gathered else 0
                sites += 1
        tokens, width = hidden.shape
        about = StepFields(
            tokens, len(step.spans), step.block_size, len(gathered.rows) if gathered else 0,
            gathered.width if gathered else 0, address(step.span_table), address(step.slots),
            address(gathered.rows) if gathered else 0,
        )  # fmt: skip
        # They live until the call returns.
        memory = {name: hidden.new_empty(tokens, size) for name, size in self._sizes.items()}
        inner = hidden.new_empty(tokens, gathered.width) if gathered else None
        attention = attention_memory(self._layers[0].heads, step)
        int8 = working_memory(tokens, max(self._sizes.values())) if self._is_int8 else None
        addresses = MemoryFields(
            hidden=address(hidden), inner=address(inner), attention=address(attention), int8=address(int8),
            **{name: address(tensor) for name, tensor in memory.items()},
        )  # fmt: skip
        self._kernels.decode(
            self._fields, byref(about), byref(addresses), self._first_norm.weight, len(self._layers), width
        )
        return memory["normed"]


def can_fuse(layers: Sequence[Layer]) -> bool:
    """Whether every projection is computed by a kernel."""
    return all(p.kernel_linear is not None for layer in layers for p in layer.projections.values())


def _layer_fields(layer: Layer, following: Norm) -> LayerFields:
    qkv, out, gate_up, down = (_site_fields(p) for p in layer.projections.values())
    return LayerFields(
        qkv=qkv, out=out, gate_up=gate_up, down=down,
        attention=attention_fields(layer.heads, layer.window, following.epsilon),
        after_attention=address(layer.after_attention.weight if layer.after_attention else None),
        before_mlp=address(layer.before_mlp.weight),
        after_mlp=address(layer.after_mlp.weight if layer.after_mlp else None),
        following=address(following.weight),
        activation=ACTIVATIONS[layer.activation],
    )  # fmt: skip


def _site_fields(projection: Projection) -> SiteFields:
    linear = projection.kernel_linear
    if linear is None:
        raise ValueError("a projection that no kernel computes cannot be fused")
    widths = [end for _, end, _ in projection.bounds.values()]
    return SiteFields(linear=linear.fields, modules=len(widths), ends=ends(widths))
