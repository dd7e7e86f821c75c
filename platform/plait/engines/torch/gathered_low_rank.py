"""Low-rank products of a batch's adapters by kernels that read each adapter's weights where they lie.

Nothing is copied when an adapter joins a batch, and adapters that are in memory but not in the batch cost nothing
(Chen et al. 2023, Punica, arXiv:2310.18547).
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from plait.engines.torch.adapter_weights import AdapterWeights, LowRank
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.kernel_linear import pack
from plait.engines.torch.kernels import Kernels
from plait.engines.torch.kernels.structures import TOGETHER, address
from plait.engines.torch.projection import GatheredRows, Site

_LANES = 16


class GatheredLowRank(ABC):
    """Loaded adapters' products, and a step's choice of them.

    Args:
        decoder: the base model.
        together: packed tokens of one adapter that a kernel computes at once.
    """

    def __init__(self, decoder: Decoder, together: int) -> None:
        self._together, self._device = together, decoder.device
        self._sites = {site: index for index, site in enumerate(decoder.sites)}
        self._most_modules = max(len(site.modules) for site in decoder.sites)
        self._fields: dict[str, Tensor] = {}  # [sites, 3] of rank and addresses of down and up
        self._last: tuple[object, GatheredRows | None] = ((), None)

    def take(self, adapter: AdapterWeights) -> None:
        """Lay out an adapter's products for the kernel. Safe in any thread, before steps use the adapter."""
        fields = torch.zeros(len(self._sites), 3, dtype=torch.long)
        for site, weights in adapter.sites.items():
            if weights.low_rank is not None:
                weights.low_rank = own = self._laid_out(weights.low_rank)
                fields[self._sites[site]] = torch.tensor([self._padded(own.rank), address(own.down), address(own.up)])
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
        rows, together = [], self._together
        for number, own in enumerate(tokens.values()):
            for start in range(0, len(own), together):
                some = own[start : start + together]
                rows.append([number, len(some), *some, *[0] * (together - len(some))])
        adapters = torch.stack([self._fields[name] for name in tokens], dim=1).contiguous()
        width = self._width(int(adapters[:, :, 0].max()))
        return GatheredRows(torch.tensor(rows, device=self._device), adapters.to(self._device), width)

    @abstractmethod
    def add(self, gathered: GatheredRows, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        """`output` [t, out] with the products of one site added in place, for `hidden` [t, in]."""

    @abstractmethod
    def _laid_out(self, low_rank: LowRank) -> LowRank:
        """An adapter's product at a site as the kernel reads it."""

    def _padded(self, rank: int) -> int:
        """The rank that the kernel sees, perhaps raised by zeros."""
        return rank

    @abstractmethod
    def _width(self, rank: int) -> int:
        """Width of the memory for what a token has between down and up; `rank`: the largest."""


class CpuLowRank(GatheredLowRank):
    """By the kernel in C; down as [modules * rank, in] and up as [out, rank], packed, the rank even."""

    def __init__(self, decoder: Decoder, kernels: Kernels) -> None:
        super().__init__(decoder, TOGETHER)
        self._kernels = kernels
        self._ends = [
            torch.tensor([end for _, end, _ in (decoder.projection(site).bounds[m] for m in site.modules)])
            for site in decoder.sites
        ]

    def add(self, gathered: GatheredRows, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        index = self._sites[site]
        inner = hidden.new_empty(len(hidden), gathered.width)
        self._kernels.low_rank(
            hidden.contiguous(), output, gathered.rows, gathered.adapters[index], self._ends[index], inner,
            len(gathered.rows), len(site.modules), hidden.shape[1], output.shape[1], gathered.width,
        )  # fmt: skip
        return output

    def _laid_out(self, low_rank: LowRank) -> LowRank:
        more = self._padded(low_rank.rank) - low_rank.rank
        down, up = F.pad(low_rank.down, (0, 0, 0, more)), F.pad(low_rank.up, (0, 0, 0, more))
        return LowRank(pack(down.flatten(0, 1)), pack(up.T.contiguous()), low_rank.rank)

    def _padded(self, rank: int) -> int:
        return rank + rank % 2

    def _width(self, rank: int) -> int:
        return -(-self._most_modules * rank // _LANES) * _LANES
