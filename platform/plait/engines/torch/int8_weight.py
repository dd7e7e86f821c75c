"""Weights in 8 bits, and the vocabulary head by them; see kernels/int8.c for the method.

An output's weights share a scale. Activations are quantised row by row at each call.
"""

import torch
from torch import Tensor

from plait.engines.torch.kernel_linear import Bfloat16Weight, working_memory
from plait.engines.torch.kernels import Kernels

INT8_BLOCK, _LANES = 64, 16
_ROWS_AT_ONCE = 1 << 12
"""In float32 so many rows stay in a processor's cache, and are laid out twice as fast as four times as many."""


class Int8Weight:
    """A matrix [out, in] in the kernels' layout; `in` is a multiple of 4."""

    def __init__(self, weight: Tensor) -> None:
        self.outputs, self.inputs = weight.shape
        padded = -(-self.outputs // INT8_BLOCK) * INT8_BLOCK
        self.scale = torch.zeros(padded)
        self.packed = torch.full((padded // _LANES, self.inputs // 4, _LANES, 4), 128, dtype=torch.uint8)
        fours = self.packed.view(torch.int32).squeeze(-1)  # [out / 16, in / 4, 16]: moved as one number, so faster
        for first in range(0, self.outputs, _ROWS_AT_ONCE):
            part = weight[first : first + _ROWS_AT_ONCE].float()
            scale = part.abs().amax(1).clamp_(min=1e-12).div_(127)
            quantised = part.div_(scale[:, None]).round_().add_(128).to(torch.uint8)
            self.scale[first : first + len(part)] = scale
            if len(part) % _LANES:
                rest = torch.full((-len(part) % _LANES, self.inputs), 128, dtype=torch.uint8)
                quantised = torch.cat([quantised, rest])
            groups = quantised.view(torch.int32).view(-1, _LANES, self.inputs // 4).transpose(1, 2)
            fours[first // _LANES : first // _LANES + len(groups)] = groups

    def dense(self) -> Tensor:
        """The matrix as the kernels see it, float32 [out, in]."""
        rows = self.packed.transpose(1, 2).reshape(-1, self.inputs).float().sub_(128) * self.scale[:, None]
        return rows[: self.outputs]


class LikeliestToken:
    """The token of the largest logit, without all the logits: 8 bits say where to look, the exact weights decide.

    Args:
        exact: the vocabulary head [v, d].
        approximate: the same in 8 bits.
    """

    def __init__(self, kernels: Kernels, exact: Bfloat16Weight, approximate: Int8Weight) -> None:
        self._kernels, self._exact, self._approximate = kernels, exact, approximate

    def __call__(self, hidden: Tensor) -> Tensor:
        """[r] tokens for hidden states [r, d]."""
        weight, rows = self._approximate, len(hidden)
        tokens = torch.empty(rows, dtype=torch.long)
        most = torch.empty(rows, len(weight.scale) // INT8_BLOCK)
        self._kernels.int8_likeliest(
            hidden.contiguous(), weight.packed, weight.scale, self._exact.packed, tokens, most,
            working_memory(rows, weight.inputs), rows, weight.inputs, weight.outputs,
        )  # fmt: skip
        return tokens
