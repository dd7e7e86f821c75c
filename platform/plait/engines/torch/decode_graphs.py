"""Steps of decoding as CUDA graphs: the hundreds of kernels of a step are launched at once, not one by one by Python.

A graph has fixed shapes and addresses, so a step is padded to the next larger number of rows and blocks, and copied to
where its graph reads. Rows that pad write to a block of the cache that belongs to nobody.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plait.engines.torch.decoder import Decoder
from plait.engines.torch.kv_cache import KeyValues
from plait.engines.torch.projection import Adaptation, GatheredRows
from plait.engines.torch.step import AttentionMetadata, Span, StepInput

SPARE_BLOCKS = 1
"""Blocks that a cache must have beyond those that sequences use: the last one is for rows that pad."""
_FEWEST_BLOCKS = 8
_MOST_BLOCKS = 4096
"""Of all rows together: bounds the memory of graphs, and what padding copies. Not tuned."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shape:
    """What a graph is made for; `width`: of the adapters' `GatheredRows`, 0 without adapters."""

    rows: int
    blocks: int
    width: int


class DecodeGraphs:
    """Graphs of a decoder, captured when a shape is first met.

    Args:
        decoder: on a GPU.
        cache: what it reads and writes, with `SPARE_BLOCKS` at its end.
    """

    def __init__(self, decoder: Decoder, cache: KeyValues) -> None:
        self._decoder, self._cache = decoder, cache
        self._graphs: dict[_Shape, _Graph] = {}
        self._memory = torch.cuda.graph_pool_handle()  # shared: one graph runs at a time
        self._can_capture = True

    def forward(self, spans: Sequence[Span], adaptation: Adaptation | None) -> Tensor | None:
        """Hidden states [t, d] of the packed tokens, valid until the next call; None where a step is for no graph."""
        gathered = adaptation.gathered_only if adaptation else None
        if any(len(span.tokens) > 1 for span in spans) or (adaptation and gathered is None):
            return None
        longest = max(span.end for span in spans)
        shape = _Shape(
            rows=-(-len(spans) // 8) * 8 if len(spans) > 8 else _power_of_two(len(spans)),
            blocks=max(_FEWEST_BLOCKS, _power_of_two(-(-longest // self._cache.block_size))),
            width=gathered.width if gathered else 0,
        )
        if shape.rows * shape.blocks > _MOST_BLOCKS:
            return None
        graph = self._graphs.get(shape)
        if graph is not None:
            graph.fill(spans, gathered)
        elif self._can_capture:
            graph = self._captured(shape, spans, adaptation)
        if graph is None:
            return None
        graph.replay()
        return graph.hidden[: len(spans)]

    def _captured(self, shape: _Shape, spans: Sequence[Span], adaptation: Adaptation | None) -> "_Graph | None":
        """A new graph, filled; None, and a line in the log, when there is no memory for it."""
        stream = torch.cuda.current_stream()
        try:
            graph = _Graph(self._decoder, self._cache, shape)
            graph.fill(spans, adaptation.gathered_only if adaptation else None)
            graph.capture(adaptation, self._memory)
        except RuntimeError as error:
            # What a failed capture leaves of the shared memory is not known: those that are there are the last.
            torch.cuda.set_stream(stream)
            self._can_capture = False
            _log.warning("No more CUDA graphs (%s): steps of other shapes are slower.", str(error).partition("\n")[0])
            return None
        self._graphs[shape] = graph
        return graph


class _Graph:
    """One graph, and the memory that it reads: on the host, where a step is written, and its copy on the GPU."""

    def __init__(self, decoder: Decoder, cache: KeyValues, shape: _Shape) -> None:
        self._decoder, self._cache, self._shape = decoder, cache, shape
        size, longest = cache.block_size, shape.blocks * cache.block_size
        windows = {w if w is not None and w < longest else None for w in decoder.windows}
        # Blocks that a row reads at most, by window.
        self._blocks = {w: shape.blocks if w is None else min(shape.blocks, -(-w // size) + 1) for w in windows}
        width = 3 + sum(1 + count for count in self._blocks.values())
        self._staged = torch.zeros(shape.rows * width, dtype=torch.long, pin_memory=True)
        self._inputs = torch.zeros_like(self._staged, device=decoder.device)
        self._host = self._views(self._staged)
        self._nobody = len(cache.keys[0]) - 1
        self._gathered: GatheredRows | None = None
        self._last_gathered: GatheredRows | None = None
        self._graph: torch.cuda.CUDAGraph
        self.hidden: Tensor

    def _views(self, flat: Tensor) -> dict[object, Tensor]:
        """Tokens, positions and slots [rows], and by window offsets [rows] and blocks [rows, n], in one memory."""
        rows, at = self._shape.rows, 0
        views: dict[object, Tensor] = {}
        for name in ("tokens", "positions", "slots", *(("offsets", w) for w in self._blocks)):
            views[name] = flat[at : at + rows]
            at += rows
        for window, count in self._blocks.items():
            views["blocks", window] = flat[at : at + rows * count].view(rows, count)
            at += rows * count
        return views

    def fill(self, spans: Sequence[Span], gathered: GatheredRows | None) -> None:
        """Copy a step to where the graph reads it."""
        host = {name: view.numpy() for name, view in self._host.items()}
        size, count = self._cache.block_size, len(spans)
        torch.cuda.current_stream().synchronize()  # the last copy from this memory is done
        starts = np.array([span.start for span in spans])
        host["tokens"][:count] = [span.tokens[0] for span in spans]
        host["positions"][:count] = starts
        host["slots"][:count] = [span.blocks[span.start // size] * size + span.start % size for span in spans]
        host["tokens"][count:] = host["positions"][count:] = 0
        host["slots"][count:] = self._nobody * size
        for window in self._blocks:
            firsts = np.zeros_like(starts) if window is None else np.maximum(0, starts - window + 1) // size
            offsets, blocks = host["offsets", window], host["blocks", window]
            offsets[:count], offsets[count:] = firsts * size, 0
            blocks[count:] = self._nobody
            for row, span, first in zip(blocks, spans, firsts.tolist(), strict=False):
                read = span.blocks[first : span.start // size + 1]
                row[: len(read)] = read
                row[len(read) :] = read[0]
        self._inputs.copy_(self._staged, non_blocking=True)
        if gathered is not None and gathered is not self._last_gathered:
            self._fill_gathered(gathered)

    def _fill_gathered(self, gathered: GatheredRows) -> None:
        if self._gathered is None:
            rows = self._shape.rows
            self._gathered = GatheredRows(
                gathered.rows.new_zeros(rows, gathered.rows.shape[1]),
                gathered.adapters.new_zeros(len(gathered.adapters), rows, 3),
                gathered.width,
            )
        self._gathered.rows.zero_()  # no tokens
        self._gathered.rows[: len(gathered.rows)] = gathered.rows
        self._gathered.adapters[:, : gathered.adapters.shape[1]] = gathered.adapters
        self._last_gathered = gathered

    def replay(self) -> None:
        """Compute the step."""
        self._graph.replay()

    def capture(self, adaptation: Adaptation | None, memory: Any) -> None:
        """Make the graph. What `_step` computes meanwhile is the step that was filled in."""
        own = adaptation.with_rows(self._gathered) if adaptation and self._gathered else None
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries set themselves up, which no graph may do
            self._decoder.forward(self._step(), self._cache, own)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may load adapters meanwhile.
        with torch.cuda.graph(self._graph, pool=memory, capture_error_mode="thread_local"):
            self.hidden = self._decoder.forward(self._step(), self._cache, own)

    def _step(self) -> StepInput:
        """The graph's memory as a step of rows that read as far as it is made for."""
        views, rows, blocks, size = (
            self._views(self._inputs),
            self._shape.rows,
            self._shape.blocks,
            self._cache.block_size,
        )
        dtype = self._decoder.dtype
        metadata = {
            (0, window): AttentionMetadata(
                blocks=views["blocks", window], offsets=views["offsets", window], starts=views["positions"], length=1,
                window=window, block_size=size, dtype=dtype,
            )
            for window in self._blocks
        }  # fmt: skip
        longest = Span(tokens=[0], start=blocks * size - 1, blocks=[], is_wanted=True)
        return StepInput(
            spans=[longest] * rows, tokens=views["tokens"], positions=views["positions"], slots=views["slots"],
            singles=rows, chunks=(), wanted=torch.arange(rows, device=self._inputs.device), block_size=size,
            dtype=dtype, attention_metadata=metadata,
        )  # fmt: skip


def can_capture(decoder: Decoder) -> bool:
    """Whether a decoder's steps can be graphs: on a GPU; 4-bit layers have not been tried."""
    is_4_bit = any(decoder.projection(site).is_4_bit for site in decoder.sites)
    return decoder.device.type == "cuda" and not is_4_bit


def _power_of_two(count: int) -> int:
    """The next one, at least 1."""
    return 1 << (count - 1).bit_length()
