"""Many adapters in one batch: each token gets its own adapter's products, without a loop over adapters.

Adapters in use stand in slots. At every site the slots' low-rank weights lie behind each other in one table, so the
products of all adapters with all tokens are two matrix products; between them a mask keeps, for each token, its own
adapter's. That is more arithmetic than gathering weights by token (Chen et al. 2023, Punica, arXiv:2310.18547), but
each weight is read once, and a step of decoding is bound by what it reads.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from plait.serve.engines.adapter_weights import AdapterWeights, BottleneckWeights, SiteWeights
from plait.serve.engines.decoder import Decoder, Site

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "gelu": F.gelu, "silu": F.silu}


class AdapterBank:
    """Loaded adapters, some of them in slots.

    Args:
        decoder: the base model.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._loaded: dict[str, AdapterWeights] = {}
        self._slots: OrderedDict[str, int] = OrderedDict()  # least recently used first
        self._tables = _Tables(decoder, slots=0, rank=0)

    def __contains__(self, key: str) -> bool:
        return key in self._loaded

    def get(self, key: str) -> AdapterWeights | None:
        return self._loaded.get(key)

    def loaded(self) -> dict[str, AdapterWeights]:
        return dict(self._loaded)

    def is_seated(self, key: str) -> bool:
        """Whether an adapter is in a slot."""
        return key in self._slots

    def add(self, key: str, adapter: AdapterWeights) -> None:
        self._loaded[key] = adapter

    def remove(self, key: str) -> None:
        """Forget an adapter. No step may use it any more."""
        del self._loaded[key]
        if key in self._slots:
            self._tables.clear(self._slots.pop(key))

    def adaptation(self, rows: Sequence[tuple[str | None, int]]) -> "BatchAdaptation | None":
        """What a step needs whose packed tokens belong to these adapters, `(key, tokens)` each; None: base alone."""
        needed = {key for key, _ in rows if key is not None}
        if not needed:
            return None
        self._seat(needed)
        slots = [-1 if key is None else self._slots[key] for key, _ in rows]
        counts = torch.tensor([count for _, count in rows])
        of_tokens = torch.tensor(slots).repeat_interleave(counts).to(self._decoder.device)
        return BatchAdaptation(self._tables, of_tokens)

    def _seat(self, needed: set[str]) -> None:
        """Give every needed adapter a slot."""
        rank = max(self._loaded[key].rank for key in needed)
        is_too_small = len(needed) > self._tables.slots or rank > self._tables.rank
        if is_too_small or self._tables.slots > 2 * len(needed):
            # Slots that nobody needs are computed with all the same, so few adapters get few slots.
            self._tables = _Tables(self._decoder, 1 << (len(needed) - 1).bit_length(), rank)
            self._slots.clear()
        for key in sorted(needed):
            if key not in self._slots:
                if len(self._slots) < self._tables.slots:
                    slot = min(set(range(self._tables.slots)) - set(self._slots.values()))
                else:
                    evicted = next(k for k in self._slots if k not in needed)
                    slot = self._slots.pop(evicted)
                self._tables.write(slot, self._loaded[key])
                self._slots[key] = slot
            self._slots.move_to_end(key)


@dataclass
class _SiteTable:
    """The slots' weights at a site; each part is there only if some adapter in a slot needs it.

    Attributes:
        down: [slots, modules, rank, in], zeros beyond an adapter's own rank.
        up: [out, slots, modules, rank], zeros where a module's products meet another module's output.
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


class _Tables:
    """All slots' weights, side by side."""

    def __init__(self, decoder: Decoder, slots: int, rank: int) -> None:
        self._decoder = decoder
        self.slots, self.rank = slots, rank
        self.sites = {
            site: _SiteTable([decoder.bounds(site, module) for module in site.modules]) for site in decoder.sites
        }
        self.bottlenecks: dict[tuple[int, str, str], _BottleneckTable] = {}

    def clear(self, slot: int) -> None:
        """Let a slot change nothing."""
        for table in self.sites.values():
            if table.up is not None:
                table.up[:, slot] = 0
            for scale in (table.output_scale, table.input_scale):
                if scale is not None:
                    scale[slot] = 1
        for bottleneck in self.bottlenecks.values():
            bottleneck.up[slot] = 0
            bottleneck.up_bias[slot] = 0

    def write(self, slot: int, adapter: AdapterWeights) -> None:
        self.clear(slot)
        for site, weights in adapter.sites.items():
            self._write_site(slot, site, weights)
        for (layer, sublayer), bottleneck in adapter.bottlenecks.items():
            self._write_bottleneck(slot, (layer, sublayer, bottleneck.activation), bottleneck)

    def _write_site(self, slot: int, site: Site, weights: SiteWeights) -> None:
        table = self.sites[site]
        inputs = table.bounds[0][2]
        outputs = table.bounds[-1][1]
        if weights.low_rank and table.down is None:
            table.down = self._zeros(self.slots, len(site.modules), self.rank, inputs)
            table.up = self._zeros(outputs, self.slots, len(site.modules), self.rank)
        for index, module in enumerate(site.modules):
            first, end, _ = table.bounds[index]
            product = weights.low_rank.get(module)
            if product is not None and table.down is not None and table.up is not None:
                rank = product.down.shape[0]
                table.down[slot, index, :rank] = product.down
                table.up[first:end, slot, index, :rank] = product.up
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
        table = self.bottlenecks.get(where)
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
            table = self.bottlenecks[where] = wider
        table.down[slot, :size] = weights.down
        table.down_bias[slot, :size] = weights.down_bias
        table.up[slot] = 0
        table.up[slot, :size] = weights.up.T
        table.up_bias[slot] = weights.up_bias

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self._decoder.dtype, device=self._decoder.device)


class BatchAdaptation:
    """An `Adaptation` of one step.

    Args:
        tables: of the slots.
        slots: [t], each token's slot; -1 without an adapter.
    """

    def __init__(self, tables: _Tables, slots: Tensor) -> None:
        self._tables, self._slots = tables, slots
        decoder = tables._decoder
        own = slots[:, None] == torch.arange(tables.slots, device=slots.device)
        self._own = own.to(decoder.dtype)  # [t, slots]
        self._own_products: dict[int, Tensor] = {}  # by modules of a site, [t, slots * modules * rank]

    def before(self, site: Site, hidden: Tensor) -> Tensor:
        scale = self._tables.sites[site].input_scale
        return hidden if scale is None else hidden * scale[self._slots]

    def after(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        table = self._tables.sites[site]
        if table.down is not None and table.up is not None:
            modules = len(table.bounds)
            if modules not in self._own_products:
                self._own_products[modules] = self._own.repeat_interleave(modules * self._tables.rank, dim=1)
            products = F.linear(hidden, table.down.flatten(0, 2)).mul_(self._own_products[modules])
            output = torch.addmm(output, products, table.up.flatten(1).T)
        return output if table.output_scale is None else output.mul_(table.output_scale[self._slots])

    def around(self, layer: int, sublayer: str, output: Tensor) -> Tensor:
        hidden = output
        for activation in _ACTIVATIONS:
            table = self._tables.bottlenecks.get((layer, sublayer, activation))
            if table is None:
                continue
            inner = F.linear(hidden, table.down.flatten(0, 1), table.down_bias.flatten())
            inner = _ACTIVATIONS[activation](inner).unflatten(-1, table.down.shape[:2]) * self._own[:, :, None]
            output = output + inner.flatten(1) @ table.up.flatten(0, 1) + table.up_bias[self._slots]
        return output
