"""Low-rank products of a batch's adapters by a kernel that reads each adapter's weights where they lie.

Nothing is copied when an adapter joins a batch, and adapters that are in memory but not in the batch cost nothing.
Rows of one token go through the kernel together; a prompt's chunk is a plain product with its own adapter's weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from plait.serve.engines.adapter_weights import AdapterWeights
from plait.serve.engines.decoder import Decoder
from plait.serve.engines.kernels import Kernels
from plait.serve.engines.projection import Site

_TOGETHER = 4
"""Rows of one adapter that the kernel computes at once; see low_rank.c."""


@dataclass(frozen=True)
class _Composition:
    """Which rows have which adapter, as the kernel wants it, for every site.

    Attributes:
        order: [n] rows, those of one adapter behind each other.
        groups: [sites, groups, 5] of first row in the order, count, rank, address of down, address of up.
        products: working memory of the kernel, for the site that needs most.
        most_rank: largest rank.
    """

    order: Tensor
    groups: Tensor
    products: Tensor
    most_rank: int


class GatheredLowRank:
    """Makes a step's products.

    Args:
        decoder: the base model, with kernels.
    """

    def __init__(self, decoder: Decoder, own: Kernels) -> None:
        self._kernels = own
        self._sites = {site: index for index, site in enumerate(decoder.sites)}
        self._bounds = []
        for site in decoder.sites:
            ends = [end for _, end, _ in (decoder.projection(site).bounds[m] for m in site.modules)]
            self._bounds.append(torch.tensor([0, *ends]))
        self._addresses: dict[str, Tensor] = {}
        self._last: tuple[tuple[str | None, ...], _Composition | None] = ((), None)
        self._chunks: Sequence[tuple[int, int, AdapterWeights]] = ()

    def set_batch(
        self, singles: Sequence[AdapterWeights | None], chunks: Sequence[tuple[int, int, AdapterWeights]]
    ) -> None:
        """Say whose rows the next step has: an adapter or none for each single, (first, end, adapter) of chunks."""
        self._chunks = chunks
        names = tuple(a.namespace if a is not None and a.rank else None for a in singles)
        if names != self._last[0]:
            self._last = (names, self._compose(singles))

    def forget(self, adapter: AdapterWeights) -> None:
        self._addresses.pop(adapter.namespace, None)
        self._last = ((), None)

    def add(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        """`output` [t, out] with the products added in place, for `hidden` [t, in]."""
        index = self._sites[site]
        composition, bounds = self._last[1], self._bounds[index]
        if composition is not None:
            groups = composition.groups[index]
            self._kernels.low_rank(
                hidden, output, groups, composition.order, bounds, composition.products, len(groups),
                hidden.shape[1], output.shape[1], len(site.modules), composition.most_rank,
            )  # fmt: skip
        for first, end, adapter in self._chunks:
            weights = adapter.sites[site].low_rank if site in adapter.sites else None
            if weights is None:
                continue
            inner = hidden[first:end] @ weights.down.flatten(0, 1).T
            for module, (begin, stop) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
                own = inner[:, module * weights.rank : (module + 1) * weights.rank]
                output[first:end, begin:stop].addmm_(own, weights.up[:, begin:stop])
        return output

    def _compose(self, singles: Sequence[AdapterWeights | None]) -> _Composition | None:
        rows = [(adapter, row) for row, adapter in enumerate(singles) if adapter is not None and adapter.rank]
        if not rows:
            return None
        rows.sort(key=lambda pair: pair[0].namespace)
        spans, addresses = [], []
        first = 0
        for _, same in groupby(rows, key=lambda pair: pair[0].namespace):
            members = list(same)
            for start in range(0, len(members), _TOGETHER):
                count = len(members[start : start + _TOGETHER])
                spans.append([first, count])
                addresses.append(self._addresses_of(members[0][0]))
                first += count
        where = torch.stack(addresses, dim=1)  # [sites, groups, 3]
        groups = torch.cat([torch.tensor(spans).expand(len(where), -1, -1), where], dim=2).contiguous()
        most_rank = max(adapter.rank for adapter, _ in rows)
        modules = max(len(site.modules) for site in self._sites)
        return _Composition(
            order=torch.tensor([row for _, row in rows]),
            groups=groups,
            products=torch.empty(len(singles) * modules * most_rank),
            most_rank=most_rank,
        )

    def _addresses_of(self, adapter: AdapterWeights) -> Tensor:
        """[sites, 3] of rank and addresses; rank 0 where the adapter does nothing."""
        if adapter.namespace not in self._addresses:
            found = []
            for site in self._sites:
                weights = adapter.sites[site].low_rank if site in adapter.sites else None
                found.append([weights.rank, weights.down.data_ptr(), weights.up.data_ptr()] if weights else [0, 0, 0])
            self._addresses[adapter.namespace] = torch.tensor(found)
        return self._addresses[adapter.namespace]
