"""Linear modules of a layer that share their input, as one product; in the type that their weights are kept in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plait.engines.torch.kernel_linear import KernelLinear


@dataclass(frozen=True)
class Site:
    """A place in a layer where a projection, perhaps of several modules that share their input, is computed."""

    layer: int
    modules: tuple[str, ...]
    """Names below the layer, such as `self_attn.q_proj`, in the order of their outputs."""


@dataclass(frozen=True)
class GatheredRows:
    """The low-rank products of a step, as the kernels read them.

    Attributes:
        rows: [n, 2 + together] number of the adapter, count and packed tokens of the rows computed together.
        adapters: [sites, adapters, 3] rank and addresses of down and up.
        width: of the working memory of a row.
    """

    rows: Tensor
    adapters: Tensor
    width: int


class Adaptation(Protocol):
    """What adapters do to the projections of a step. Rows are the step's packed tokens."""

    @property
    def gathered_only(self) -> GatheredRows | None:
        """The low-rank products, when they are all that adapters do in the step and a kernel computes them."""
        ...

    def with_rows(self, rows: GatheredRows) -> "Adaptation":
        """The low-rank products of other rows, which must be all that adapters do."""
        ...

    def before(self, site: Site, hidden: Tensor) -> Tensor:
        """The input [t, in] of a site's projection."""
        ...

    def after(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        """The output [t, out] of a site's projection, given its unchanged input."""
        ...

    def around(self, layer: int, sublayer: str, output: Tensor) -> Tensor:
        """The output [t, d] of a whole sublayer, `attention` or `mlp`."""
        ...


class Linear(Protocol):
    """x @ weight.T + bias."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def dense(self) -> Tensor:
        """The weight as a plain matrix [out, in]."""
        ...


class TorchLinear:
    """A `Linear` as torch has it."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._weight, self._bias)

    def dense(self) -> Tensor:
        return self._weight


class Projection:
    """The modules `names` of `parent`, side by side.

    Args:
        make: a `Linear` from weight and bias. Modules that transformers has quantised already stay what they are.
    """

    def __init__(
        self,
        parent: Any,
        layer: int,
        prefix: str,
        names: Sequence[str],
        make: Callable[[Tensor, Tensor | None], Linear],
    ) -> None:
        modules = [getattr(parent, name) for name in names]
        self.site = Site(layer, tuple(f"{prefix}.{name}" for name in names))
        ends = list(accumulate(module.out_features for module in modules))
        self.bounds: dict[str, tuple[int, int, int]] = {
            name: (end - module.out_features, end, module.in_features)
            for name, module, end in zip(self.site.modules, modules, ends, strict=True)
        }
        self.has_bias = any(module.bias is not None for module in modules)
        self._linear: Linear
        if all(type(module) is nn.Linear for module in modules):
            self._linear = make(
                torch.cat([module.weight.detach() for module in modules]),
                torch.cat([module.bias.detach() for module in modules]) if self.has_bias else None,
            )
        else:
            self._linear = _Side(modules)
        for name in names:
            setattr(parent, name, None)  # what was stacked must not stay in memory twice

    def __call__(self, hidden: Tensor, adaptation: Adaptation | None) -> Tensor:
        if adaptation is None:
            return self._linear(hidden)
        return adaptation.after(self.site, hidden, self._linear(adaptation.before(self.site, hidden)))

    @property
    def kernel_linear(self) -> KernelLinear | None:
        """What computes it, if that is a kernel."""
        return self._linear if isinstance(self._linear, KernelLinear) else None

    @property
    def is_4_bit(self) -> bool:
        return isinstance(self._linear, _Side)

    @property
    def is_int8(self) -> bool:
        return self.kernel_linear is not None and self.kernel_linear.is_int8

    def dense_weight(self) -> Tensor:
        return self._linear.dense()


class _Side:
    """4-bit modules of bitsandbytes, one after the other."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self._modules = modules

    def __call__(self, x: Tensor) -> Tensor:
        outputs = [module(x) for module in self._modules]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)

    def dense(self) -> Tensor:
        from bitsandbytes.functional import dequantize_4bit

        return torch.cat([dequantize_4bit(module.weight, module.weight.quant_state) for module in self._modules])
