"""A linear layer whose weight is laid out once in the order in which the CPU reads it.

oneDNN computes with weights in blocks; given a plain matrix it reorders it at every call, which for a few tokens takes
as long as the product itself. The result is the same to the last bit. On other devices the weight stays as it is.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_FEW_ROWS = 16
"""oneDNN compiles a kernel for each number of rows and keeps it, half a MB each: of more than these, multiples."""


class PackedLinear:
    """x @ weight.T + bias, for weight [out, in] and x [t, in]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._bias = bias
        self._is_packed = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
        # The operators are those that torch.compile generates for frozen weights; torch has no public name for them.
        self._weight: Any = torch.ops.mkldnn._reorder_linear_weight(weight, None) if self._is_packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        if self._is_packed:
            rows = len(x)
            if rows > _FEW_ROWS:
                x = F.pad(x, (0, 0, 0, -rows % _FEW_ROWS))
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
            return product[:rows]
        return F.linear(x, self._weight, self._bias)

    def dense(self) -> Tensor:
        """The weight as a plain matrix [out, in]."""
        weight: Tensor = self._weight.to_dense() if self._is_packed else self._weight
        return weight
