"""A batch of sequences on its way through the model: one prefill, then a token a step, rows leaving as they end.

It knows a causal language model and token ids; requests, text and threads are the engine's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Batch:
    """Left-padded sequences with their key-value cache.

    Args:
        model: a transformers causal language model (or a PEFT model on one).
        prompts: token ids of each row.
        pad_id: what to pad with.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], pad_id: int) -> None:
        from transformers import DynamicCache

        self._model = model
        self._device = model.device
        self._cache = DynamicCache(config=model.config)
        longest = max(len(prompt) for prompt in prompts)
        padded = [[pad_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        self._input = torch.tensor(padded, device=self._device)
        self._mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self._device)

    def __len__(self) -> int:
        return self._input.shape[0]

    def step(self) -> Tensor:
        """Logits [b, v] of the next token of every row."""
        # Padding on the left must not count as positions.
        positions = (self._mask.cumsum(-1) - 1).clamp_min(0)[:, -self._input.shape[1] :]
        output = self._model(
            input_ids=self._input,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def advance(self, tokens: Sequence[int], keep: Sequence[int]) -> None:
        """Append a token to every row, and go on with the rows `keep` only."""
        if len(keep) < len(self):
            rows = torch.tensor(keep, device=self._device)
            self._cache.batch_select_indices(rows)
            self._mask = self._mask[rows]
        self._input = torch.tensor([[tokens[row]] for row in keep], device=self._device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(keep), 1)], dim=1)
