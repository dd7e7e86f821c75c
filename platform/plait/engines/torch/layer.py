"""One decoder layer: attention and feed-forward on a step's packed tokens, with adapters around every projection.

What happens between the projections is `Operations`; what the layer reads of a transformers layer is here.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from plait.engines.torch.kv_cache import KeyValues
from plait.engines.torch.operations import Activation, Heads, Norm, Operations
from plait.engines.torch.projection import Adaptation, Linear, Projection, Site
from plait.engines.torch.step import StepInput
from plait.errors import InvalidInput


class Layer:
    """A transformers decoder layer, its linear modules taken over.

    Args:
        layer: of a model of one of `ARCHITECTURES`.
        index: which one it is.
        config: of the model.
        make: makes the projections' products; see `Projection`.
    """

    def __init__(self, layer: Any, index: int, config: Any, make: Callable[[Tensor, Tensor | None], Linear]) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.index = index
        self.kind: str | None = getattr(attention, "layer_type", None)
        self.window: int | None = (
            attention.sliding_window
            if hasattr(attention, "sliding_window")
            else getattr(config, "sliding_window", None)
        )
        queries, keys = config.num_attention_heads, config.num_key_value_heads
        self.heads = Heads(
            queries, keys, attention.head_dim, attention.scaling, _norm_of_heads(attention, queries, keys)
        )
        self.activation = _activation(mlp.act_fn)
        self._qkv = Projection(attention, index, "self_attn", ("q_proj", "k_proj", "v_proj"), make)
        self._out = Projection(attention, index, "self_attn", ("o_proj",), make)
        self._gate_up = Projection(mlp, index, "mlp", ("gate_proj", "up_proj"), make)
        self._down = Projection(mlp, index, "mlp", ("down_proj",), make)
        self.before_attention = norm_of(layer.input_layernorm)
        self.after_attention: Norm | None = None
        self.after_mlp: Norm | None = None
        if hasattr(layer, "pre_feedforward_layernorm"):  # Gemma norms what comes out of a sublayer, too
            self.after_attention = norm_of(layer.post_attention_layernorm)
            self.before_mlp = norm_of(layer.pre_feedforward_layernorm)
            self.after_mlp = norm_of(layer.post_feedforward_layernorm)
        else:
            self.before_mlp = norm_of(layer.post_attention_layernorm)

    @property
    def projections(self) -> dict[Site, Projection]:
        return {p.site: p for p in (self._qkv, self._out, self._gate_up, self._down)}

    def attention(
        self,
        normed: Tensor,
        operations: Operations,
        step: StepInput,
        rotation: tuple[Tensor, Tensor],
        cache: KeyValues,
        adaptation: Adaptation | None,
    ) -> Tensor:
        """The attention's output [t, d], before its norm."""
        qkv = self._qkv(normed, adaptation)
        mixed = operations.attend(qkv, self.heads, step, rotation, cache, self.index, self.window)
        output = self._out(mixed, adaptation)
        return output if adaptation is None else adaptation.around(self.index, "attention", output)

    def feed_forward(self, normed: Tensor, operations: Operations, adaptation: Adaptation | None) -> Tensor:
        """The feed-forward's output [t, d], before its norm."""
        output = self._down(operations.gate(self._gate_up(normed, adaptation), self.activation), adaptation)
        return output if adaptation is None else adaptation.around(self.index, "mlp", output)


def norm_of(module: Any) -> Norm:
    """A transformers norm."""
    return Norm(_norm_weight(module), float(module.eps if hasattr(module, "eps") else module.variance_epsilon))


def _norm_weight(module: Any) -> Tensor:
    """The factors of a transformers norm; Gemma's are kept as differences from one."""
    weight: Tensor = module.weight.detach().to(torch.float32, copy=True)
    return weight + 1 if type(module).__name__.startswith("Gemma") else weight


def _norm_of_heads(attention: Any, queries: int, keys: int) -> Norm | None:
    """One norm for all heads of queries and keys, where the model has them."""
    if getattr(attention, "q_norm", None) is None:
        return None
    weight = [_norm_weight(attention.q_norm).expand(queries, -1), _norm_weight(attention.k_norm).expand(keys, -1)]
    return Norm(torch.cat(weight), norm_of(attention.q_norm).epsilon)


def _activation(function: Any) -> Activation:
    name = type(function).__name__
    if "GELUTanh" in name or getattr(function, "approximate", None) == "tanh":
        return "gelu_tanh"
    if "SiLU" in name:
        return "silu"
    raise InvalidInput(f"The torch engine cannot serve a model whose activation is {name}.", "Use llm.engine=vllm.")
