"""What one step computes: tokens of many sequences packed one behind the other, and what each of them may read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

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

    @property
    def end(self) -> int:
        """The position after its last token."""
        return self.start + len(self.tokens)


@dataclass(frozen=True)
class AttentionMetadata:
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


@dataclass(frozen=True)
class StepInput:
    """The packed tokens of a step: rows of one token each, then chunks of prompts.

    Attributes:
        spans: whose tokens they are, in their order.
        tokens, positions, slots: [t]; a slot is where in the cache a token's keys and values go.
        singles: rows of one token, at the front.
        chunks: (first, end) of each chunk among the tokens.
        wanted: [r] tokens whose logits are asked for.
        attention_metadata: what rows read, by the first of them and the window; made when first asked for.
    """

    spans: Sequence[Span]
    tokens: Tensor
    positions: Tensor
    slots: Tensor
    singles: int
    chunks: Sequence[tuple[int, int]]
    wanted: Tensor
    block_size: int
    dtype: torch.dtype
    attention_metadata: dict[tuple[int, int | None], AttentionMetadata] = field(default_factory=dict)

    def singles_metadata(self, window: int | None) -> AttentionMetadata:
        """What the rows of one token read; there must be some."""
        return self._metadata(0, self.spans[: self.singles], window)

    def chunk_metadata(self, index: int, window: int | None) -> AttentionMetadata:
        """What a chunk reads."""
        return self._metadata(self.singles + index, [self.spans[self.singles + index]], window)

    def _metadata(self, first: int, spans: Sequence[Span], window: int | None) -> AttentionMetadata:
        if window is not None and window >= max(span.end for span in spans):
            window = None  # it hides nothing
        if (first, window) not in self.attention_metadata:
            self.attention_metadata[first, window] = _metadata(
                spans, window, self.block_size, self.dtype, self.tokens.device
            )
        return self.attention_metadata[first, window]

    @cached_property
    def span_table(self) -> Tensor:
        """[spans, 4] first token, length, position and address of the blocks' numbers, as the kernels read them."""
        rows, first, block = [], 0, 0
        start = self._block_numbers.data_ptr()
        for span in self.spans:
            rows.append([first, len(span.tokens), span.start, start + 8 * block])
            first += len(span.tokens)
            block += len(span.blocks)
        return torch.tensor(rows)

    @cached_property
    def _block_numbers(self) -> Tensor:
        return torch.tensor(list(chain.from_iterable(span.blocks for span in self.spans)))


def pack(spans: Sequence[Span], block_size: int, dtype: torch.dtype, device: torch.device) -> StepInput:
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
        here = range(span.start, span.end)
        positions += here
        slots += [span.blocks[p // block_size] * block_size + p % block_size for p in here]
        if len(span.tokens) > 1:
            chunks.append((first, len(tokens)))
        if span.is_wanted:
            wanted.append(len(tokens) - 1)
    return StepInput(
        spans=spans,
        tokens=torch.tensor(tokens, device=device),
        positions=torch.tensor(positions, device=device),
        slots=torch.tensor(slots, device=device),
        singles=singles,
        chunks=chunks,
        wanted=torch.tensor(wanted, device=device, dtype=torch.long),
        block_size=block_size,
        dtype=dtype,
    )


def _metadata(
    spans: Sequence[Span], window: int | None, block_size: int, dtype: torch.dtype, device: torch.device
) -> AttentionMetadata:
    """For spans of equal length."""
    blocks, offsets = [], []
    for span in spans:
        first = 0 if window is None else max(0, span.start - window + 1) // block_size
        blocks.append(list(span.blocks[first : (span.end - 1) // block_size + 1]))
        offsets.append(first * block_size)
    most = max(len(row) for row in blocks)
    return AttentionMetadata(
        blocks=torch.tensor([row + [row[0]] * (most - len(row)) for row in blocks], device=device),
        offsets=torch.tensor(offsets, device=device),
        starts=torch.tensor([span.start for span in spans], device=device),
        length=len(spans[0].tokens),
        window=window,
        block_size=block_size,
        dtype=dtype,
    )
