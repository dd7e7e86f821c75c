"""Weights of adapters that share a batch, side by side in slots, so that a step needs no loop over adapters.

Slots hold what multiplies inputs and outputs (IA3, DoRA), bottlenecks, and, where no kernel gathers them, low-rank
products. Products with all slots' weights are computed for all tokens; a mask then keeps each token's own. That is more
arithmetic than gathering, but each weight is read once, and a step of decoding is bound by what it reads. The mask
fills in zeros: a product of another adapter's weights may be infinite, and 0 times that is NaN.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from plait.adapters.updates import BottleneckWeights
from plait.engines.torch.adapter_weights import AdapterWeights, SiteWeights
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.projection import Adaptation, GatheredRows, Site

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "gelu": F.gelu, "silu": F.silu}


@dataclass
class _SiteTable:
    """The slots' weights at a site; each part is there only if some adapter in a slot needs it.

    Attributes:
        bounds: (first output, end, inputs) of each module.
        down: [slots, modules, rank, in], zeros beyond an adapter's own rank.
        up: [slots, rank, out].
        output_scale: [slots + 1, out]; the last row is of ones, for tokens without an adapter.
        input_scale: [slots + 1, in], likewise.
    """

    bounds: Sequence[tuple[int, int, int]]
    down: Tensor | None = None
    up: Tensor | None = None
    output_scale: Tensor | None = None
    input_scale: Tensor | None = None


@dataclass
class _BottleneckTable:
    """The slots' bottlenecks after a sublayer, by activation: [slots, size, d] twice, [slots, size], [slots + 1, d]."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor


class SlotTables:
    """All slots' weights.

    Args:
        decoder: the base model.
        slots: how many adapters there is room for.
        rank: largest rank of their low-rank products; 0 where these are computed elsewhere.
    """

    def __init__(self, decoder: Decoder, slots: int, rank: int) -> None:
        self._decoder = decoder
        self.slots, self.rank = slots, rank
        self._sites = {
            site: _SiteTable([decoder.projection(site).bounds[module] for module in site.modules])
            for site in decoder.sites
        }
        self._bottlenecks: dict[tuple[int, str, str], _BottleneckTable] = {}

    def clear(self, slot: int) -> None:
        """Let a slot change nothing."""
        for table in self._sites.values():
            if table.down is not None and table.up is not None:
                table.down[slot] = 0
                table.up[slot] = 0
            for scale in (table.output_scale, table.input_scale):
                if scale is not None:
                    scale[slot] = 1
        for bottleneck in self._bottlenecks.values():
            bottleneck.down[slot] = 0
            bottleneck.down_bias[slot] = 0
            bottleneck.up[slot] = 0
            bottleneck.up_bias[slot] = 0

    def write(self, slot: int, adapter: AdapterWeights) -> None:
        self.clear(slot)
        for site, weights in adapter.sites.items():
            self._write_site(slot, site, weights)
        for (layer, sublayer), bottleneck in adapter.bottlenecks.items():
            self._write_bottleneck(slot, (layer, sublayer, bottleneck.activation), bottleneck)

    def _write_site(self, slot: int, site: Site, weights: SiteWeights) -> None:
        table = self._sites[site]
        inputs, outputs = table.bounds[0][2], table.bounds[-1][1]
        if weights.low_rank and self.rank:
            if table.down is None or table.up is None:
                table.down = self._zeros(self.slots, len(site.modules), self.rank, inputs)
                table.up = self._zeros(self.slots, self.rank, outputs)
            table.down[slot, :, : weights.low_rank.rank] = weights.low_rank.down
            table.up[slot, : weights.low_rank.rank] = weights.low_rank.up
        for module, (first, end, _) in zip(site.modules, table.bounds, strict=True):
            scale = weights.output_scale.get(module)
            if scale is not None:
                if table.output_scale is None:
                    table.output_scale = self._zeros(self.slots + 1, outputs) + 1
                table.output_scale[slot, first:end] = scale
        if weights.input_scale is not None:
            if table.input_scale is None:
                table.input_scale = self._zeros(self.slots + 1, inputs) + 1
            table.input_scale[slot] = weights.input_scale

    def _write_bottleneck(self, slot: int, where: tuple[int, str, str], weights: BottleneckWeights) -> None:
        size, width = weights.down.shape
        table = self._bottlenecks.get(where)
        if table is None or table.down.shape[1] < size:
            wider = _BottleneckTable(
                self._zeros(self.slots, size, width),
                self._zeros(self.slots, size),
                self._zeros(self.slots, size, width),
                self._zeros(self.slots + 1, width),
            )
            if table is not None:
                narrow = table.down.shape[1]
                wider.down[:, :narrow] = table.down
                wider.down_bias[:, :narrow] = table.down_bias
                wider.up[:, :narrow] = table.up
                wider.up_bias.copy_(table.up_bias)
            table = self._bottlenecks[where] = wider
        table.down[slot, :size] = weights.down
        table.down_bias[slot, :size] = weights.down_bias
        table.up[slot, :size] = weights.up.T
        table.up_bias[slot] = weights.up_bias

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self._decoder.dtype, device=self._decoder.device)


class SlotAdaptation:
    """An `Adaptation` of one step by the tables.

    Args:
        tables: of the slots.
        slots: [t], each token's slot; -1 without an adapter.
    """

    def __init__(self, tables: SlotTables, slots: Tensor) -> None:
        self._tables, self._slots = tables, slots
        self._others = slots[:, None] != torch.arange(tables.slots, device=slots.device)  # [t, slots]

    gathered_only = None

    def with_rows(self, rows: GatheredRows) -> Adaptation:
        raise AssertionError("slots do more than low-rank products")

    def before(self, site: Site, hidden: Tensor) -> Tensor:
        scale = self._tables._sites[site].input_scale
        return hidden if scale is None else hidden * scale[self._slots]

    def after(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        table = self._tables._sites[site]
        if table.down is not None and table.up is not None:
            products = F.linear(hidden, table.down.flatten(0, 2)).unflatten(-1, table.down.shape[:3])
            products.masked_fill_(self._others[:, :, None, None], 0)
            for index, (first, end, _) in enumerate(table.bounds):
                output[:, first:end] += products[:, :, index].flatten(1) @ table.up[:, :, first:end].flatten(0, 1)
        return output if table.output_scale is None else output.mul_(table.output_scale[self._slots])

    def around(self, layer: int, sublayer: str, output: Tensor) -> Tensor:
        hidden = output
        for activation in _ACTIVATIONS:
            table = self._tables._bottlenecks.get((layer, sublayer, activation))
            if table is None:
                continue
            inner = F.linear(hidden, table.down.flatten(0, 1), table.down_bias.flatten())
            inner = _ACTIVATIONS[activation](inner).unflatten(-1, table.down.shape[:2])
            inner.masked_fill_(self._others[:, :, None], 0)
            output = output + inner.flatten(1) @ table.up.flatten(0, 1) + table.up_bias[self._slots]
        return output
