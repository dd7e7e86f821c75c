"""Computes steps: the spans of many rows in, what the next token of each row is chosen from out.

Owns the model, its cache of keys and values and the loaded adapters. It decides neither which rows run nor when a row
ends, and a row that makes a step fail fails alone.
"""

import logging
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from plait.engines.sampling import largest, not_finite
from plait.engines.torch.adapter_bank import AdapterBank
from plait.engines.torch.apart import together_or_apart
from plait.engines.torch.decode_graphs import SPARE_BLOCKS, DecodeGraphs, can_capture
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.projection import Adaptation
from plait.engines.torch.row import Row
from plait.engines.torch.step import Span, pack

BLOCK_SIZE = 16
"""Tokens of a cache block: prompts share what they have in common in such units."""
Choice = int | Tensor | Exception
"""What a row's next token is chosen from: the token itself, logits [v] for its sampler, or why there is none."""
_log = logging.getLogger(__name__)


class ModelRunner:
    """A decoder with its cache and its adapters.

    Args:
        decoder: the base model.
        blocks: of the cache, for rows.

    Attributes:
        cache: keys and values of all rows.
        adapters: the loaded ones.
    """

    def __init__(self, decoder: Decoder, blocks: int) -> None:
        self.decoder = decoder
        self.cache = decoder.key_values(blocks + SPARE_BLOCKS, BLOCK_SIZE)
        self.adapters = AdapterBank(decoder)
        self._graphs = DecodeGraphs(decoder, self.cache) if can_capture(decoder) else None

    def run(self, parts: Sequence[tuple[Row, Span]]) -> list[Choice | None]:
        """What the next token of each part of a step is chosen from; None where no token is wanted."""
        return together_or_apart(parts, self._compute, _tell_of_failure)

    def _compute(self, parts: Sequence[tuple[Row, Span]]) -> list[Choice | None]:
        """As `run`, for all parts together.

        May run again for the same parts: it changes nothing but what it writes into their own blocks.
        """
        spans = [span for _, span in parts]
        for row, _ in parts:
            self._fill(row)
        hidden = self._forward(
            spans, self.adapters.adaptation([(row.request.adapter, len(span.tokens)) for row, span in parts])
        )
        is_finite = hidden.sum(-1, dtype=torch.float32).isfinite()  # infinities and NaN survive a sum
        ends = list(accumulate(len(span.tokens) for span in spans))
        wanted = [index for index, span in enumerate(spans) if span.is_wanted]
        found: list[Choice | None] = [None] * len(parts)
        if wanted:
            last = hidden if len(wanted) == len(hidden) else hidden[[ends[index] - 1 for index in wanted]]
            for index, choice in zip(wanted, self._choices(last, [parts[i][0] for i in wanted]), strict=True):
                found[index] = choice
        finite = is_finite.tolist()  # read behind the choices: a GPU is waited for once
        for index, (start, end) in enumerate(pairwise([0, *ends])):
            row, span = parts[index]
            if not (all(finite[start:end]) and row.read(span.start, hidden[start:end], self.decoder.logits)):
                found[index] = not_finite("the model's")
        return found

    def _forward(self, spans: Sequence[Span], adaptation: Adaptation | None) -> Tensor:
        """Hidden states [t, d] of the packed tokens."""
        hidden = self._graphs.forward(spans, adaptation) if self._graphs else None
        if hidden is not None:
            return hidden
        step = pack(spans, BLOCK_SIZE, self.decoder.dtype, self.decoder.device)
        return self.decoder.forward(step, self.cache, adaptation)

    def _choices(self, hidden: Tensor, rows: Sequence[Row]) -> list[Choice]:
        """The next token of each row, logits for rows whose samplers need them, or that these are not finite."""
        needs_logits = [index for index, row in enumerate(rows) if row.sampler.needs_logits]
        likeliest = [-1] * len(rows)
        if len(needs_logits) < len(rows):
            likeliest = self.decoder.likeliest(hidden).tolist()
        choices: list[Choice] = list(likeliest)
        if needs_logits:
            logits = self.decoder.logits(hidden if len(needs_logits) == len(rows) else hidden[needs_logits])
            for index, token, own in zip(needs_logits, largest(logits).tolist(), logits, strict=True):
                likeliest[index], choices[index] = token, own
        return [
            choice if token >= 0 else not_finite("the model's")
            for token, choice in zip(likeliest, choices, strict=True)
        ]

    def _fill(self, row: Row) -> None:
        """Write the keys and values that an adapter of prefix tuning brings along, where they are not there yet."""
        sequence = row.sequence
        if sequence.unfilled is None:
            return
        adapter = self.adapters.get(row.request.adapter or "")
        if adapter is None or adapter.prefix is None:
            raise AssertionError("only prefix tuning gives tokens")
        positions = torch.arange(sequence.unfilled, sequence.given)
        blocks = torch.tensor(sequence.blocks)[positions // BLOCK_SIZE]
        slots = (blocks * BLOCK_SIZE + positions % BLOCK_SIZE).to(self.decoder.device)
        for layer in range(self.decoder.layers):
            keys, values = adapter.prefix[layer, :, sequence.unfilled : sequence.given]
            self.cache.write(layer, slots, keys, values)


def _tell_of_failure(count: int, error: Exception) -> None:
    _log.warning("A step of %d requests failed (%s); it is done again in parts.", count, error)
