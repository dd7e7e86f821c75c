"""What an adapter does to a decoder, whatever its method: low-rank products, scales, bottlenecks, a prefix.

Methods make `AdapterUpdates` of the weights in an adapter's folder, and engines compute with them. So an engine knows
these few kinds and no method, and a method that needs no other kind needs nothing in an engine.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

_WEIGHT = re.compile(r"(?:base_model\.model\.)?model\.layers\.(\d+)\.(self_attn|mlp)\.(?:(\w+_proj)\.)?(.+)")


Weights = Mapping[str, Tensor]
"""The tensors of adapter_model.safetensors by name."""


@dataclass(frozen=True)
class Module:
    """A linear layer of the decoder; `name` is the one below its layer, as in `self_attn.q_proj`."""

    layer: int
    name: str

    @property
    def path(self) -> str:
        return f"model.layers.{self.layer}.{self.name}"


@dataclass(frozen=True)
class DecoderShape:
    """The sizes of a decoder that adapters must fit; `modules` holds (outputs, inputs) of every linear layer."""

    layers: int
    width: int
    kv_heads: int
    head_dim: int
    modules: Mapping[Module, tuple[int, int]]


@dataclass(frozen=True)
class LowRankUpdate:
    """What LoRA adds (Hu et al. 2021, arXiv:2106.09685): scaling * up @ down, of down [r, in] and up [out, r].

    With `magnitude` [out] the merged weight keeps its direction and gets that length (DoRA, Liu et al. 2024,
    arXiv:2402.09353).
    """

    down: Tensor
    up: Tensor
    scaling: float
    magnitude: Tensor | None = None


@dataclass(frozen=True)
class ModuleUpdate:
    """What an adapter does to one linear layer.

    Attributes:
        low_rank: added to what comes out.
        output_scale: factors [out] of what comes out; not beside a magnitude, which is one.
        input_scale: factors [in] of what goes in (both: IA3, Liu et al. 2022, arXiv:2205.05638).
    """

    low_rank: LowRankUpdate | None = None
    output_scale: Tensor | None = None
    input_scale: Tensor | None = None


@dataclass(frozen=True)
class BottleneckWeights:
    """h + up(f(down(h))) after a sublayer: down [size, d], up [d, size], with biases [size] and [d]."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor
    activation: Literal["relu", "gelu", "silu"]


@dataclass
class AdapterUpdates:
    """All that an adapter does.

    Attributes:
        modules: by linear layer.
        bottlenecks: by layer and sublayer (`attention`, `mlp`).
        prefix: keys and values [layers, 2, virtual tokens, kv heads, head dim] before the first token (Li and Liang
            2021, prefix tuning, arXiv:2101.00190).
    """

    modules: dict[Module, ModuleUpdate] = field(default_factory=dict)
    bottlenecks: dict[tuple[int, str], BottleneckWeights] = field(default_factory=dict)
    prefix: Tensor | None = None


# ---------------------------------------------------------------- what methods read weights with


def by_module(weights: Weights, shape: DecoderShape) -> dict[Module, dict[str, Tensor]]:
    """Weights by linear layer, under what is left of PEFT's names (`lora_A.weight`).

    Raises:
        ValueError: names the weight that is of no linear layer of the decoder.
    """
    found: dict[Module, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        match = _WEIGHT.fullmatch(name)
        module = Module(int(match[1]), f"{match[2]}.{match[3]}") if match else None
        if match is None or module is None or module not in shape.modules:
            raise ValueError(f"its weight '{name}' is of no projection of the base model")
        found.setdefault(module, {})[match[4]] = weight
    return found


def check_targets(is_target: Callable[[str], bool], found: Mapping[Module, object], shape: DecoderShape) -> None:
    """Refuse weights for other linear layers than those that the configuration names.

    Raises:
        ValueError: names the first one.
    """
    for module in shape.modules:
        if is_target(module.path) != (module in found):
            raise ValueError(f"its weights do not match its configuration at layer {module.layer}, {module.name}")


def expect(weight: Tensor | None, shape: tuple[int, ...], name: str) -> Tensor:
    """The weight, if it is there and has this shape.

    Raises:
        ValueError: names it.
    """
    if weight is None:
        raise ValueError(f"its weights do not match its configuration: {name} is missing")
    if tuple(weight.shape) != shape:
        raise ValueError(
            f"its weights do not match its configuration: {name} has the shape {tuple(weight.shape)}, not {shape}"
        )
    return weight
