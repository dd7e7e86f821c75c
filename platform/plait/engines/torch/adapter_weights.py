"""An adapter folder as what it does to the decoder: low-rank products and scales at sites, bottlenecks after sublayers.

In: a folder of PEFT's (LoRA with its variants rsLoRA and DoRA, IA3, prefix tuning) or of Plait's (bottleneck). Out:
`AdapterWeights`, in the decoder's type and on its device. A method that is here needs no module in the model.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal
from uuid import uuid4

from torch import Tensor

from plait.adapters.config import BottleneckConfig, PeftIa3, PeftLora, PeftPrefix, read_adapter_config
from plait.engines.adapter_tensors import check_finite, read_tensors
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.projection import Projection, Site

_WEIGHT = re.compile(r"(?:base_model\.model\.)?model\.layers\.(\d+)\.(self_attn|mlp)\.(?:(\w+_proj)\.)?(.+)")
Activation = Literal["relu", "gelu", "silu"]


@dataclass(frozen=True)
class LowRank:
    """What LoRA adds at a site (Hu et al. 2021, arXiv:2106.09685): for each module up @ down, scaled.

    Attributes:
        down: [modules, r, in]; zeros for a module that has no product, and beyond a module's own rank.
        up: [r, out], where a module's columns are those of its outputs.
        rank: r. Both have a kernel's layout instead once a `GatheredLowRank` has taken them over.
    """

    down: Tensor
    up: Tensor
    rank: int


@dataclass
class SiteWeights:
    """What an adapter does at one site.

    Attributes:
        low_rank: added to what comes out.
        output_scale: by module, factors [out] of what comes out, the low-rank product included (IA3, DoRA).
        input_scale: factors [in] of what goes in (IA3, Liu et al. 2022, arXiv:2205.05638).
    """

    low_rank: LowRank | None = None
    output_scale: dict[str, Tensor] = field(default_factory=dict)
    input_scale: Tensor | None = None


@dataclass(frozen=True)
class BottleneckWeights:
    """h + up(f(down(h))) after a sublayer: down [size, d], up [d, size], with biases [size] and [d]."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor
    activation: Activation


@dataclass
class AdapterWeights:
    """An adapter, ready to be applied.

    Attributes:
        sites: what it does to projections.
        bottlenecks: by layer and sublayer (`attention`, `mlp`).
        prefix: keys and values [layers, 2, virtual tokens, kv heads, head dim] before the first token (Li and Liang
            2021, prefix tuning, arXiv:2101.00190).
        namespace: one of its own for each time that it is loaded: what was computed with other weights under the same
            key is no longer right.
    """

    sites: dict[Site, SiteWeights] = field(default_factory=dict)
    bottlenecks: dict[tuple[int, str], BottleneckWeights] = field(default_factory=dict)
    prefix: Tensor | None = None
    namespace: str = field(default_factory=lambda: uuid4().hex)

    @property
    def memory_bytes(self) -> int:
        tensors = [self.prefix] if self.prefix is not None else []
        for site in self.sites.values():
            tensors += [site.low_rank.down, site.low_rank.up] if site.low_rank else []
            tensors += [*site.output_scale.values(), *([site.input_scale] if site.input_scale is not None else [])]
        for bottleneck in self.bottlenecks.values():
            tensors += [bottleneck.down, bottleneck.down_bias, bottleneck.up, bottleneck.up_bias]
        return sum(tensor.nbytes for tensor in tensors)

    # Both are asked for at every step, and an adapter does not change once it is read.

    @cached_property
    def rank(self) -> int:
        """The largest rank of its low-rank products; 0 without."""
        return max((s.low_rank.rank for s in self.sites.values() if s.low_rank), default=0)

    @cached_property
    def has_tables(self) -> bool:
        """Whether it does more than low-rank products and a prefix."""
        scales = any(site.output_scale or site.input_scale is not None for site in self.sites.values())
        return scales or bool(self.bottlenecks)

    @property
    def virtual_tokens(self) -> int:
        return 0 if self.prefix is None else self.prefix.shape[2]


def read_adapter(folder: Path, decoder: Decoder) -> AdapterWeights:
    """The adapter in `folder`, for `decoder`.

    Raises:
        InvalidInput: when its configuration is not sound.
        ValueError: one line about what does not fit, or the weight that is not finite.
    """
    config = read_adapter_config(folder)
    weights = dict(read_tensors(folder / "adapter_model.safetensors", decoder.dtype, decoder.device))
    match config:
        case BottleneckConfig():
            return _read_bottleneck(config, weights, decoder)
        case PeftPrefix():
            return _read_prefix(config, weights, decoder)
        case PeftIa3():
            return _read_ia3(config, _by_module(weights, decoder), decoder)
        case PeftLora():
            return _read_lora(config, _by_module(weights, decoder), decoder)


Found = dict[tuple[Site, str], dict[str, Tensor]]
"""Weights by site and module (`self_attn.q_proj`), under what is left of their names (`lora_A.weight`)."""


def _by_module(weights: Mapping[str, Tensor], decoder: Decoder) -> Found:
    sites = {(site.layer, module): site for site in decoder.sites for module in site.modules}
    found: Found = {}
    for name, weight in weights.items():
        match = _WEIGHT.fullmatch(name)
        site = sites.get((int(match[1]), f"{match[2]}.{match[3]}")) if match else None
        if match is None or site is None:
            raise ValueError(f"its weight '{name}' is of no projection of the base model")
        found.setdefault((site, f"{match[2]}.{match[3]}"), {})[match[4]] = weight
    return found


def _check_targets(is_target: Callable[[str], bool], found: Found, decoder: Decoder) -> None:
    for site in decoder.sites:
        for module in site.modules:
            if is_target(f"model.layers.{site.layer}.{module}") != ((site, module) in found):
                raise ValueError(f"its weights do not match its configuration at layer {site.layer}, {module}")


def _read_lora(config: PeftLora, found: Found, decoder: Decoder) -> AdapterWeights:
    if config.bias != "none" or config.modules_to_save or config.lora_bias or config.fan_in_fan_out:
        raise ValueError("it trains biases or whole modules, which cannot share a batch")
    if config.alora_invocation_tokens:
        raise ValueError("it is an aLoRA, which works from some token on; those cannot be served")
    _check_targets(config.targets, found, decoder)
    adapter = AdapterWeights()
    products: dict[Site, dict[str, tuple[Tensor, Tensor]]] = {}
    for (site, module), weights in found.items():
        name = f"model.layers.{site.layer}.{module}"
        down, up = weights.pop("lora_A.weight", None), weights.pop("lora_B.weight", None)
        magnitude = weights.pop("lora_magnitude_vector", None)
        rank, alpha = config.rank(name), config.alpha(name)
        first, end, inputs = decoder.projection(site).bounds[module]
        down = _expect(down, (rank, inputs), f"{name}.lora_A")
        up = _expect(up, (end - first, rank), f"{name}.lora_B")
        if weights or (magnitude is not None) != config.use_dora:
            raise ValueError(f"its weights do not match its configuration at {name}")
        scaling = config.scaling(rank, alpha)
        scaled = check_finite(up * scaling, f"{name}.lora_B (times {scaling:g})")
        at = adapter.sites.setdefault(site, SiteWeights())
        products.setdefault(site, {})[module] = (down, scaled)
        if magnitude is not None:
            if decoder.projection(site).has_bias:
                raise ValueError(f"it is a DoRA on {name}, which has a bias")
            # DoRA (Liu et al. 2024, arXiv:2402.09353): the direction of the merged weight times a learned magnitude.
            merged = decoder.projection(site).dense_weight()[first:end].float() + scaled.float() @ down.float()
            scale = (magnitude.float() / merged.norm(dim=1)).to(decoder.dtype)
            at.output_scale[module] = check_finite(scale, f"{name}.lora_magnitude_vector (by the norm of its weights)")
    for site, by_module in products.items():
        adapter.sites[site].low_rank = _side_by_side(by_module, decoder.projection(site))
    return adapter


def _side_by_side(products: Mapping[str, tuple[Tensor, Tensor]], projection: Projection) -> LowRank:
    """The products (down [r, in], up [out, r]) of a site's modules as one."""
    some, _ = next(iter(products.values()))
    modules, rank = projection.site.modules, max(len(down) for down, _ in products.values())
    outputs = projection.bounds[modules[-1]][1]
    downs, ups = some.new_zeros(len(modules), rank, some.shape[1]), some.new_zeros(rank, outputs)
    for index, module in enumerate(modules):
        if module in products:
            down, up = products[module]
            first, end, _ = projection.bounds[module]
            downs[index, : len(down)], ups[: len(down), first:end] = down, up.T
    return LowRank(downs, ups, rank)


def _read_ia3(config: PeftIa3, found: Found, decoder: Decoder) -> AdapterWeights:
    _check_targets(config.targets, found, decoder)
    adapter = AdapterWeights()
    scaled_inputs: dict[Site, list[str]] = {}
    for (site, module), weights in found.items():
        scale = weights.pop("ia3_l", None)
        name = f"model.layers.{site.layer}.{module}"
        first, end, inputs = decoder.projection(site).bounds[module]
        at = adapter.sites.setdefault(site, SiteWeights())
        if config.is_feedforward(name):
            at.input_scale = _expect(scale, (1, inputs), f"{name}.ia3_l").flatten()
            scaled_inputs.setdefault(site, []).append(module)
        else:
            at.output_scale[module] = _expect(scale, (end - first, 1), f"{name}.ia3_l").flatten()
        if weights:
            raise ValueError(f"its weights do not match its configuration at {name}")
    for site, modules in scaled_inputs.items():
        if len(site.modules) > 1:
            raise ValueError(f"it scales the input of {modules[0]}, which shares it with {len(site.modules) - 1} more")
    return adapter


def _read_prefix(config: PeftPrefix, weights: Mapping[str, Tensor], decoder: Decoder) -> AdapterWeights:
    count, layers = config.num_virtual_tokens, decoder.layers
    width = decoder.kv_heads * decoder.head_dim
    values = _expect(weights.get("prompt_embeddings"), (count, layers * 2 * width), "prompt_embeddings")
    # PEFT lays them out as [virtual tokens, layers * 2, kv heads, head dim].
    prefix = values.view(count, layers, 2, decoder.kv_heads, decoder.head_dim).permute(1, 2, 0, 3, 4)
    return AdapterWeights(prefix=prefix.contiguous())


def _read_bottleneck(config: BottleneckConfig, weights: Mapping[str, Tensor], decoder: Decoder) -> AdapterWeights:
    size, width = config.bottleneck_size, decoder.width
    sublayers = ("attention", "mlp") if config.placement == "houlsby" else ("mlp",)
    prefixes = {"attention": "self_attn.o_proj", "mlp": "mlp"}
    left = dict(weights)
    adapter = AdapterWeights()
    for layer in range(decoder.layers):
        for sublayer in sublayers:
            shapes = {
                "down.weight": (size, width), "down.bias": (size,), "up.weight": (width, size), "up.bias": (width,),
            }  # fmt: skip
            own = {}
            for name, shape in shapes.items():
                full = f"model.layers.{layer}.{prefixes[sublayer]}.{name}"
                own[name] = _expect(left.pop(full, None), shape, full)
            adapter.bottlenecks[layer, sublayer] = BottleneckWeights(
                own["down.weight"], own["down.bias"], own["up.weight"], own["up.bias"], config.non_linearity
            )
    if left:
        raise ValueError(f"it has the unknown weight '{min(left)}'")
    return adapter


def _expect(weight: Tensor | None, shape: tuple[int, ...], name: str) -> Tensor:
    if weight is None:
        raise ValueError(f"its weights do not match its configuration: {name} is missing")
    if tuple(weight.shape) != shape:
        raise ValueError(
            f"its weights do not match its configuration: {name} has the shape {tuple(weight.shape)}, not {shape}"
        )
    return weight
