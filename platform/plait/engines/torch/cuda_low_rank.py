"""Low-rank products of many adapters in one batch on a GPU, in two Triton kernels: down, then up.

A program computes up to sixteen packed tokens of one adapter with that adapter's weights, which it finds by their
address; what belongs to no adapter is touched by nobody.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from plait.engines.torch.adapter_weights import LowRank
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.gathered_low_rank import GatheredLowRank
from plait.engines.torch.projection import GatheredRows, Site

_TOGETHER = 16
"""Packed tokens of a program: the fewest that a matrix unit takes."""
_RANKS = 16
"""Ranks of a program, likewise."""
_OUTPUTS = 64
"""Outputs of a program."""


class CudaLowRank(GatheredLowRank):
    """Down as [modules * rank, in] and up as [rank, out], as they are read from the adapter."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__(decoder, _TOGETHER)
        self._tiles = [_tiles(decoder, site) for site in decoder.sites]

    def add(self, gathered: GatheredRows, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        index = self._sites[site]
        adapters, tiles, groups = gathered.adapters[index], self._tiles[index], len(gathered.rows)
        modules, inputs, outputs = len(site.modules), hidden.shape[1], output.shape[1]
        hidden = hidden.contiguous()
        inner = hidden.new_empty(len(hidden), gathered.width)
        precision = "ieee" if hidden.dtype == torch.float32 else "tf32"  # of products of float32 alone
        _down[groups, gathered.width // _RANKS](
            hidden, inner, gathered.rows, adapters, modules, inputs, gathered.width,
            TOGETHER=_TOGETHER, RANKS=_RANKS, INPUTS=128, PRECISION=precision,
        )  # fmt: skip
        _up[groups, len(tiles)](
            inner, output, gathered.rows, adapters, tiles, outputs, gathered.width,
            TOGETHER=_TOGETHER, RANKS=_RANKS, OUTPUTS=_OUTPUTS, PRECISION=precision,
        )  # fmt: skip
        return output

    def _laid_out(self, low_rank: LowRank) -> LowRank:
        return LowRank(low_rank.down.contiguous(), low_rank.up.contiguous(), low_rank.rank)

    def _width(self, rank: int) -> int:
        # Few different ones: what is captured as a graph has a width.
        return self._most_modules * max(_RANKS, 1 << (rank - 1).bit_length())


def _tiles(decoder: Decoder, site: Site) -> Tensor:
    """[n, 3] module, first output and end of the module, for each program of `_up`."""
    tiles = [
        (module, start, end)
        for module, (first, end, _) in enumerate(decoder.projection(site).bounds[name] for name in site.modules)
        for start in range(first, end, _OUTPUTS)
    ]
    return torch.tensor(tiles, device=decoder.device)


@triton.jit
def _down(
    x, inner, rows, adapters, modules, inputs, width,
    TOGETHER: tl.constexpr, RANKS: tl.constexpr, INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """inner[t, module * rank + r] = down[module, r] . x[t] for the tokens of a group of rows."""
    group = rows + tl.program_id(0) * (2 + TOGETHER)
    count = tl.load(group + 1)
    adapter = adapters + tl.load(group) * 3
    ranks = tl.load(adapter) * modules
    first = tl.program_id(1) * RANKS
    if count == 0:
        return
    if first >= ranks:
        return
    down = tl.load(adapter + 1).to(tl.pointer_type(x.dtype.element_ty))
    lane = tl.arange(0, TOGETHER)
    token = tl.load(group + 2 + lane)
    rank = first + tl.arange(0, RANKS)
    sums = tl.zeros((TOGETHER, RANKS), dtype=tl.float32)
    for start in range(0, inputs, INPUTS):
        column = start + tl.arange(0, INPUTS)
        is_column = column < inputs
        hidden = tl.load(
            x + token[:, None] * inputs + column[None, :], mask=(lane < count)[:, None] & is_column[None, :], other=0.0
        )
        weight = tl.load(
            down + rank[None, :] * inputs + column[:, None],
            mask=(rank < ranks)[None, :] & is_column[:, None],
            other=0.0,
        )
        sums += tl.dot(hidden, weight, input_precision=PRECISION)
    tl.store(
        inner + token[:, None] * width + rank[None, :],
        sums.to(x.dtype.element_ty),
        mask=(lane < count)[:, None] & (rank < ranks)[None, :],
    )


@triton.jit
def _up(
    inner, out, rows, adapters, tiles, outputs, width,
    TOGETHER: tl.constexpr, RANKS: tl.constexpr, OUTPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out[t, o] += up[:, o] . inner[t, module of o]."""
    group = rows + tl.program_id(0) * (2 + TOGETHER)
    count = tl.load(group + 1)
    adapter = adapters + tl.load(group) * 3
    ranks = tl.load(adapter)
    if count == 0:
        return
    if ranks == 0:
        return
    tile = tiles + tl.program_id(1) * 3
    module, end = tl.load(tile), tl.load(tile + 2)
    column = tl.load(tile + 1) + tl.arange(0, OUTPUTS)
    up = tl.load(adapter + 2).to(tl.pointer_type(out.dtype.element_ty))
    lane = tl.arange(0, TOGETHER)
    token = tl.load(group + 2 + lane)
    sums = tl.zeros((TOGETHER, OUTPUTS), dtype=tl.float32)
    for start in range(0, ranks, RANKS):
        rank = start + tl.arange(0, RANKS)
        is_rank = rank < ranks
        hidden = tl.load(
            inner + token[:, None] * width + module * ranks + rank[None, :],
            mask=(lane < count)[:, None] & is_rank[None, :],
            other=0.0,
        )
        weight = tl.load(
            up + rank[:, None] * outputs + column[None, :], mask=is_rank[:, None] & (column < end)[None, :], other=0.0
        )
        sums += tl.dot(hidden, weight, input_precision=PRECISION)
    here = out + token[:, None] * outputs + column[None, :]
    is_here = (lane < count)[:, None] & (column < end)[None, :]
    before = tl.load(here, mask=is_here, other=0.0).to(tl.float32)
    tl.store(here, (before + sums).to(out.dtype.element_ty), mask=is_here)
