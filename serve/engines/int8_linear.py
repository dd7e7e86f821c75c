"""Linear layers and the vocabulary head in 8 bits, by the C kernels; see kernels/int8.c for the method.

An output's weights share a scale. Activations are quantised row by row at each call.
"""

import torch
from torch import Tensor

from plait.serve.engines.kernels import Kernels

_BLOCK, _LANES, _ROWS = 64, 16, 16


class Int8Weight:
    """A matrix [out, in] in the kernels' layout; `in` is a multiple of 4."""

    def __init__(self, weight: Tensor) -> None:
        self.outputs, self.inputs = weight.shape
        padded = -(-self.outputs // _BLOCK) * _BLOCK
        self.scale = torch.zeros(padded)
        self.packed = torch.full((padded // _LANES, self.inputs // 4, _LANES, 4), 128, dtype=torch.uint8)
        for first in range(0, self.outputs, 1 << 14):  # in parts: float32 copies of a vocabulary are large
            part = weight[first : first + (1 << 14)].float()
            scale = part.abs().amax(1).clamp_(min=1e-12).div_(127)
            quantised = part.div_(scale[:, None]).round_().add_(128).to(torch.uint8)
            last = first + len(part)
            self.scale[first:last] = scale
            if len(part) % _LANES:
                rest = torch.full((-len(part) % _LANES, self.inputs), 128, dtype=torch.uint8)
                quantised = torch.cat([quantised, rest])
            groups = quantised.view(-1, _LANES, self.inputs // 4, 4).transpose(1, 2)
            self.packed[first // _LANES : first // _LANES + len(groups)] = groups

    def dense(self) -> Tensor:
        """The matrix as the kernels see it, float32 [out, in]."""
        rows = self.packed.transpose(1, 2).reshape(-1, self.inputs).float().sub_(128) * self.scale[:, None]
        return rows[: self.outputs]

    @property
    def is_whole(self) -> bool:
        """Whether there are no padded outputs."""
        return self.outputs % _BLOCK == 0

    def working_memory(self, rows: int) -> Tensor:
        return torch.empty(-(-rows // _ROWS) * _ROWS * (self.inputs + 8), dtype=torch.uint8)


class Int8Linear:
    """x @ weight.T + bias for bfloat16 x [t, in]."""

    def __init__(self, kernels: Kernels, weight: Tensor, bias: Tensor | None = None) -> None:
        self._kernels, self._weight, self._bias = kernels, Int8Weight(weight), bias
        if not self._weight.is_whole:
            raise ValueError(f"a linear layer of {len(weight)} outputs cannot be held in 8 bits")

    def __call__(self, x: Tensor) -> Tensor:
        weight, rows = self._weight, len(x)
        out = x.new_empty(rows, weight.outputs)
        self._kernels.int8_linear(
            x.contiguous(), weight.packed, weight.scale, out, weight.working_memory(rows), rows, weight.inputs,
            weight.outputs,
        )  # fmt: skip
        return out if self._bias is None else out.add_(self._bias)

    def dense(self) -> Tensor:
        return self._weight.dense()


class LikeliestToken:
    """The token of the largest logit, without all the logits: 8 bits say where to look, the exact weights decide.

    Args:
        weight: of the vocabulary head, bfloat16 [v, d]; it stays where it is.
    """

    def __init__(self, kernels: Kernels, weight: Tensor) -> None:
        self._kernels, self._exact, self._approximate = kernels, weight.contiguous(), Int8Weight(weight)

    def __call__(self, hidden: Tensor) -> Tensor:
        """[r] tokens for hidden states [r, d]."""
        weight, rows = self._approximate, len(hidden)
        tokens = torch.empty(rows, dtype=torch.long)
        most = torch.empty(rows, len(weight.scale) // _BLOCK)
        self._kernels.int8_likeliest(
            hidden.contiguous(), weight.packed, weight.scale, self._exact, tokens, most, weight.working_memory(rows),
            rows, weight.inputs, weight.outputs,
        )  # fmt: skip
        return tokens
