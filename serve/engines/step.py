"""What one step computes: tokens of many sequences packed one behind the other, and what each of them may read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """The next tokens of one sequence: `tokens` at positions `start`, `start` + 1, …; `blocks` hold the sequence."""

    tokens: Sequence[int]
    start: int
    blocks: Sequence[int]
    is_wanted: bool
    """Whether the logits after its last token are asked for."""


@dataclass(frozen=True)
class Reach:
    """What some rows of as many queries each read, for one attention window.

    Attributes:
        blocks: [b, n] numbers of blocks; rows that have fewer repeat their first.
        offsets: [b] position at which a row's first block begins.
        starts: [b] position of a row's first query.
        length: queries of each row.
        window: positions that a query reads, its own among them; None is all before it.
    """

    blocks: Tensor
    offsets: Tensor
    starts: Tensor
    length: int
    window: int | None
    block_size: int
    dtype: torch.dtype

    @cached_property
    def begins(self) -> Tensor:
        """[b] the first position that a row's first query reads."""
        return torch.zeros_like(self.starts) if self.window is None else (self.starts - self.window + 1).clamp_(min=0)

    @cached_property
    def ends(self) -> Tensor:
        """[b] the position after the last that a row's first query reads."""
        return self.starts + 1

    @cached_property
    def mask(self) -> Tensor:
        """[b, 1, q, n * block size], added to the scores."""
        device = self.blocks.device
        asking = (self.starts[:, None] + torch.arange(self.length, device=device))[:, None, :, None]
        read = self.offsets[:, None] + torch.arange(self.blocks.shape[1] * self.block_size, device=device)
        read = read[:, None, None, :]
        hidden = read > asking
        if self.window is not None:
            hidden |= read <= asking - self.window
        return torch.zeros(hidden.shape, dtype=self.dtype, device=device).masked_fill_(hidden, float("-inf"))


Reaches = dict[int | None, Reach]
"""By attention window in tokens; None reads everything."""


@dataclass(frozen=True)
class StepInput:
    """The packed tokens of a step: rows of one token each, then chunks of prompts.

    Attributes:
        tokens, positions, slots: [t]; a slot is where in the cache a token's keys and values go.
        singles: rows of one token, at the front.
        single_reach: what they read; empty without such rows.
        chunks: (first, end) of each chunk among the tokens.
        chunk_reach: what each chunk reads.
        wanted: [r] tokens whose logits are asked for.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    singles: int
    single_reach: Reaches
    chunks: Sequence[tuple[int, int]]
    chunk_reach: Sequence[Reaches]
    wanted: Tensor


def pack(
    spans: Sequence[Span], block_size: int, windows: set[int | None], dtype: torch.dtype, device: torch.device
) -> StepInput:
    """Pack spans, those of one token first, in their order."""
    singles = sum(len(span.tokens) == 1 for span in spans)
    if any(len(span.tokens) == 1 for span in spans[singles:]):
        raise ValueError("spans of one token come first")
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    wanted: list[int] = []
    chunks: list[tuple[int, int]] = []
    for span in spans:
        first = len(tokens)
        tokens += span.tokens
        here = range(span.start, span.start + len(span.tokens))
        positions += here
        slots += [span.blocks[p // block_size] * block_size + p % block_size for p in here]
        if len(span.tokens) > 1:
            chunks.append((first, len(tokens)))
        if span.is_wanted:
            wanted.append(len(tokens) - 1)
    kind = _Kind(block_size, dtype, device)
    return StepInput(
        tokens=torch.tensor(tokens, device=device),
        positions=torch.tensor(positions, device=device),
        slots=torch.tensor(slots, device=device),
        singles=singles,
        single_reach=_reaches(spans[:singles], windows, kind) if singles else {},
        chunks=chunks,
        chunk_reach=[_reaches([span], windows, kind) for span in spans[singles:]],
        wanted=torch.tensor(wanted, device=device, dtype=torch.long),
    )


@dataclass(frozen=True)
class _Kind:
    block_size: int
    dtype: torch.dtype
    device: torch.device


def _reaches(spans: Sequence[Span], windows: set[int | None], kind: _Kind) -> Reaches:
    longest = max(span.start + len(span.tokens) for span in spans)
    reaches: Reaches = {}
    for window in windows:
        # A window that is longer than every sequence hides nothing.
        effective = None if window is None or window >= longest else window
        if effective not in reaches:
            reaches[effective] = _reach(spans, effective, kind)
        reaches[window] = reaches[effective]
    return reaches


def _reach(spans: Sequence[Span], window: int | None, kind: _Kind) -> Reach:
    """For spans of equal length."""
    blocks, offsets = [], []
    for span in spans:
        first = 0 if window is None else max(0, span.start - window + 1) // kind.block_size
        last = (span.start + len(span.tokens) - 1) // kind.block_size
        blocks.append(list(span.blocks[first : last + 1]))
        offsets.append(first * kind.block_size)
    most = max(len(row) for row in blocks)
    return Reach(
        blocks=torch.tensor([row + [row[0]] * (most - len(row)) for row in blocks], device=kind.device),
        offsets=torch.tensor(offsets, device=kind.device),
        starts=torch.tensor([span.start for span in spans], device=kind.device),
        length=len(spans[0].tokens),
        window=window,
        block_size=kind.block_size,
        dtype=kind.dtype,
    )
