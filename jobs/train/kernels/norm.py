"""RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467) that keeps its input and one number a row.

Autograd keeps four float32 copies of the input of every norm, which is most of what a small model's forward pass
leaves behind. It knows modules and tensors, nothing of training.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def fuse_norms(model: nn.Module) -> int:
    """Let every frozen RMSNorm in `model` run fused; returns how many do.

    Families scale by the weight or by one plus it: what holds for a norm is found by trying it on numbers.
    """
    count = 0
    for norm in model.modules():
        if not type(norm).__name__.endswith("RMSNorm") or not isinstance(getattr(norm, "weight", None), nn.Parameter):
            continue
        scale = _scale(norm)
        if scale is not None and not norm.weight.requires_grad:
            norm.register_buffer("scale", scale, persistent=False)
            norm.forward = MethodType(_forward, norm)
            count += 1
    return count


def _scale(norm: Any) -> Tensor | None:
    """What the normalised input is multiplied by, [d]; None: this norm does something else."""
    weight: Tensor = norm.weight.detach().float()
    x = torch.randn(3, len(weight), generator=torch.Generator().manual_seed(0)).to(norm.weight)
    apply: Any = _RmsNorm.apply  # torch leaves it untyped
    with torch.no_grad():
        expected = norm(x)
        for scale in (weight, 1 + weight):
            found = apply(x, scale, _epsilon(norm))
            if torch.allclose(found, expected, rtol=1e-2, atol=1e-3):
                return scale
    return None


def _epsilon(norm: Any) -> float:
    return float(getattr(norm, "eps", None) or getattr(norm, "variance_epsilon", None) or 1e-6)


def _forward(norm: Any, x: Tensor) -> Tensor:
    apply: Any = _RmsNorm.apply  # torch leaves it untyped
    result: Tensor = apply(x, norm.scale, _epsilon(norm))
    return result


class _RmsNorm(torch.autograd.Function):
    """y = x / sqrt(mean(x^2) + epsilon) * scale, of x [..., d] and scale float32 [d], computed in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, epsilon: float) -> Tensor:
        wide = x.to(scale.dtype)
        inverse = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, scale, inverse)
        return (wide * inverse).mul_(scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        x, scale, inverse = ctx.saved_tensors
        normal = x.to(scale.dtype) * inverse
        grad = grad_outputs[0].to(scale.dtype) * scale
        along = (grad * normal).mean(-1, keepdim=True)
        return grad.sub_(normal.mul_(along)).mul_(inverse).to(x.dtype), None, None
