"""An adapter folder as what it does to the decoder: low-rank products and scales at sites, bottlenecks after sublayers.

In: a folder, whose method says what it does. Out: `AdapterWeights`, in the decoder's type and on its device. It knows
the kinds of `plait.adapters.updates` and no method; an adapter needs no module in the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from torch import Tensor

from plait.adapters.methods.saved_config import read_adapter_config
from plait.adapters.updates import BottleneckWeights, DecoderShape, LowRankUpdate, Module
from plait.engines.adapter_tensors import check_finite, read_tensors
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.projection import Projection, Site


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
    updates = config.updates(weights, _shape_of(decoder))
    adapter = AdapterWeights(bottlenecks=updates.bottlenecks, prefix=updates.prefix)
    sites = {Module(site.layer, name): site for site in decoder.sites for name in site.modules}
    products: dict[Site, dict[str, tuple[Tensor, Tensor]]] = {}
    for module, update in updates.modules.items():
        site = sites[module]
        at = adapter.sites.setdefault(site, SiteWeights())
        if update.low_rank is not None:
            down, up, magnitude = update.low_rank.down, _scaled(update.low_rank, module), update.low_rank.magnitude
            products.setdefault(site, {})[module.name] = (down, up)
            if magnitude is not None:
                at.output_scale[module.name] = _magnitude_scale(magnitude, down, up, module, decoder.projection(site))
        if update.output_scale is not None:
            at.output_scale[module.name] = update.output_scale
        if update.input_scale is not None:
            if len(site.modules) > 1:
                raise ValueError(
                    f"it scales the input of {module.name}, which shares it with {len(site.modules) - 1} more"
                )
            at.input_scale = update.input_scale
    for site, by_module in products.items():
        adapter.sites[site].low_rank = _side_by_side(by_module, decoder.projection(site))
    return adapter


def _shape_of(decoder: Decoder) -> DecoderShape:
    modules = {}
    for site in decoder.sites:
        for name, (first, end, inputs) in decoder.projection(site).bounds.items():
            modules[Module(site.layer, name)] = (end - first, inputs)
    return DecoderShape(decoder.layers, decoder.width, decoder.kv_heads, decoder.head_dim, modules)


def _scaled(update: LowRankUpdate, module: Module) -> Tensor:
    return check_finite(update.up * update.scaling, f"{module.path}.lora_B (times {update.scaling:g})")


def _magnitude_scale(magnitude: Tensor, down: Tensor, up: Tensor, module: Module, projection: Projection) -> Tensor:
    """What DoRA multiplies a module's outputs with: its magnitude by the length of the merged weight's rows."""
    if projection.has_bias:
        raise ValueError(f"it is a DoRA on {module.path}, which has a bias")
    first, end, _ = projection.bounds[module.name]
    merged = projection.dense_weight()[first:end].float() + up.float() @ down.float()
    scale = (magnitude.float() / merged.norm(dim=1)).to(up.dtype)
    return check_finite(scale, f"{module.path}.lora_magnitude_vector (by the norm of its weights)")


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
