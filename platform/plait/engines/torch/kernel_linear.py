"""Linear layers whose weights are laid out once in the order in which the kernels read them.

A row's result depends on nothing but the row: whatever shares its batch, it is the same to the last bit.
"""

from ctypes import byref
from typing import Protocol

import torch
from torch import Tensor

from plait.engines.torch.kernels import Kernels
from plait.engines.torch.kernels.structures import LinearFields, address

_LANES = 16


class Weight(Protocol):
    """A matrix [out, in] in one of the kernels' layouts; those of bytes have a scale for each output."""

    outputs: int
    inputs: int
    packed: Tensor

    @property
    def scale(self) -> Tensor | None: ...

    def dense(self) -> Tensor:
        """The matrix as the kernels see it."""
        ...


def pack(weight: Tensor) -> Tensor:
    """[out / 16, in / 2, 16, 2] of [out, in], with zeros up to whole sixteens; `in` is even. See product.h."""
    outputs, inputs = weight.shape
    if outputs % _LANES:
        weight = torch.cat([weight, weight.new_zeros(-outputs % _LANES, inputs)])
    pairs = weight.contiguous().view(torch.int32).view(-1, _LANES, inputs // 2)  # moved as one number: 3 times as fast
    return pairs.transpose(1, 2).contiguous().view(weight.dtype).view(-1, inputs // 2, _LANES, 2)


class Bfloat16Weight:
    """A bfloat16 matrix [out, in] as the kernels read it; `in` is even."""

    scale = None

    def __init__(self, weight: Tensor) -> None:
        self.outputs, self.inputs = weight.shape
        self.packed = pack(weight)

    def dense(self) -> Tensor:
        return self.packed.transpose(1, 2).reshape(-1, self.inputs)[: self.outputs]

    def rows(self, numbers: Tensor) -> Tensor:
        """Rows [n, in] of the matrix, by number [n]."""
        pairs = self.packed.view(torch.int32).squeeze(-1)  # [out / 16, in / 2, 16]
        return pairs[numbers // _LANES, :, numbers % _LANES].view(self.packed.dtype)


class KernelLinear:
    """x @ weight.T + bias for bfloat16 x [t, in]."""

    def __init__(self, kernels: Kernels, weight: Weight, bias: Tensor | None = None) -> None:
        self._kernels, self._weight, self._bias = kernels, weight, bias
        self.is_int8 = weight.scale is not None
        self.fields = LinearFields(
            address(weight.packed), address(weight.scale), address(bias), weight.inputs, weight.outputs
        )

    def __call__(self, x: Tensor) -> Tensor:
        rows = len(x)
        out = x.new_empty(rows, self._weight.outputs)
        work = working_memory(rows, self._weight.inputs) if self.is_int8 else None
        self._kernels.linear(x.contiguous(), byref(self.fields), out, work, rows)
        return out

    def dense(self) -> Tensor:
        return self._weight.dense()


def working_memory(rows: int, inputs: int) -> Tensor:
    """What products in 8 bits need besides; see kernels/int8.c."""
    return torch.empty(rows * (inputs + 8), dtype=torch.uint8)
