"""Low-rank products of a batch's adapters by a kernel that reads each adapter's weights where they lie.

Nothing is copied when an adapter joins a batch, and adapters that are in memory but not in the batch cost nothing.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from plait.serve.engines.adapter_weights import AdapterWeights, LowRank
from plait.serve.engines.decoder import Decoder
from plait.serve.engines.kernel_linear import pack
from plait.serve.engines.kernels import Kernels
from plait.serve.engines.kernels.structures import TOGETHER, address
from plait.serve.engines.projection import GatheredRows, Site

_LANES = 16


class GatheredLowRank:
    """Loaded adapters' products, and a step's choice of them.

    Args:
        decoder: the base model, with kernels.
    """

    def __init__(self, decoder: Decoder, kernels: Kernels) -> None:
        self._kernels = kernels
        self._sites = {site: index for index, site in enumerate(decoder.sites)}
        self._ends = [
            torch.tensor([end for _, end, _ in (decoder.projection(site).bounds[m] for m in site.modules)])
            for site in decoder.sites
        ]
        self._fields: dict[str, Tensor] = {}  # [sites, 3] of rank and addresses of down and up
        self._last: tuple[object, GatheredRows | None] = ((), None)

    def take(self, adapter: AdapterWeights) -> None:
        """Lay out an adapter's products for the kernel. Safe in any thread, before steps use the adapter."""
        fields = torch.zeros(len(self._sites), 3, dtype=torch.long)
        for site, weights in adapter.sites.items():
            if weights.low_rank is not None:
                weights.low_rank = own = _laid_out(weights.low_rank)
                fields[self._sites[site]] = torch.tensor([_even(own.rank), address(own.down), address(own.up)])
        self._fields[adapter.namespace] = fields

    def forget(self, adapter: AdapterWeights) -> None:
        self._fields.pop(adapter.namespace, None)
        self._last = ((), None)

    def gather(self, spans: Sequence[tuple[AdapterWeights | None, int]]) -> GatheredRows | None:
        """The products of a step whose packed tokens belong to these adapters, `(adapter or none, tokens)` each."""
        layout = tuple((a.namespace if a is not None and a.rank else None, count) for a, count in spans)
        if layout != self._last[0]:
            self._last = (layout, self._gather(layout))
        return self._last[1]

    def _gather(self, layout: Sequence[tuple[str | None, int]]) -> GatheredRows | None:
        tokens: dict[str, list[int]] = defaultdict(list)
        first = 0
        for name, count in layout:
            if name is not None:
                tokens[name] += range(first, first + count)
            first += count
        if not tokens:
            return None
        rows = []
        for number, own in enumerate(tokens.values()):
            for start in range(0, len(own), TOGETHER):
                some = own[start : start + TOGETHER]
                rows.append([number, len(some), *some, *[0] * (TOGETHER - len(some))])
        adapters = torch.stack([self._fields[name] for name in tokens], dim=1).contiguous()
        most_modules = max(len(site.modules) for site in self._sites)
        width = -(-most_modules * int(adapters[:, :, 0].max()) // _LANES) * _LANES
        return GatheredRows(torch.tensor(rows), adapters, width)

    def add(self, gathered: GatheredRows, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        """`output` [t, out] with the products of one site added in place, for `hidden` [t, in]."""
        index = self._sites[site]
        inner = hidden.new_empty(len(hidden), gathered.width)
        self._kernels.low_rank(
            hidden.contiguous(), output, gathered.rows, gathered.adapters[index], self._ends[index], inner,
            len(gathered.rows), len(site.modules), hidden.shape[1], output.shape[1], gathered.width,
        )  # fmt: skip
        return output


def _laid_out(low_rank: LowRank) -> LowRank:
    """Down as [modules * rank, in] and up as [out, rank], packed, the rank made even with zeros."""
    more = _even(low_rank.rank) - low_rank.rank
    down, up = F.pad(low_rank.down, (0, 0, 0, more)), F.pad(low_rank.up, (0, 0, 0, more))
    return LowRank(pack(down.flatten(0, 1)), pack(up.T.contiguous()), low_rank.rank)


def _even(rank: int) -> int:
    return rank + rank % 2
