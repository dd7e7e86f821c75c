"""How far a model has moved from its base: KL divergence of the next token's distributions, without their logits.

As in loss.py, only positions with a label are projected, a chunk at a time, and the gradient is made in the same pass.
Both models have one output head. It knows tensors only: no model, no tokenizer.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from plait.jobs.train.loss import IGNORED, chunk_tokens_of, rounded, wide

# Rows whose logits are float32 at a time: logarithms of bfloat16 probabilities would be too coarse.
_FLOAT32_ROWS = 8


class Weights(NamedTuple):
    """What each loss counts in the total."""

    next_token: float
    kl: float


class LossesBesideBase(NamedTuple):
    """Float32 scalars (float64 for float64 input), summed over positions, in nats.

    `total` is the weighted sum of the two others, and the only one that gradients flow from.
    """

    total: Tensor
    next_token: Tensor
    kl: Tensor


def linear_losses_beside_base(
    hidden: Tensor,
    base_hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    weights: Weights,
    chunk_tokens: int | None = None,
) -> LossesBesideBase:
    """Cross-entropy of the labels, and KL(base ‖ model), over the positions that have a label.

    The base is the first argument of the divergence: what it finds likely must stay likely, as in Li & Hoiem 2016
    (Learning without Forgetting, arXiv:1606.09282), whose distillation loss differs from it by a constant.

    Args:
        hidden: [n, d], the model's last hidden states; gradients flow to it.
        base_hidden: [n, d], those of the base on the same tokens; no gradient flows to it.
        weight: [v, d], the frozen output head of both.
        labels: int64 [n], each in [0, v) or IGNORED.
        weights: of the two losses in the total.
        chunk_tokens: positions projected at a time; default: as many as make 64 MiB of logits of each model.

    Raises:
        ValueError: when `weight` requires a gradient, which this function does not make.
    """
    if weight.requires_grad:
        raise ValueError("linear_losses_beside_base makes no gradient for the head: freeze it")
    labelled = labels != IGNORED
    apply: Any = _Summed.apply  # torch leaves it untyped
    chunk = chunk_tokens or chunk_tokens_of(weight)
    total, next_token, kl = apply(hidden[labelled], base_hidden[labelled], weight, labels[labelled], weights, chunk)
    return LossesBesideBase(total, next_token, kl)


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, base_hidden: Tensor, weight: Tensor, labels: Tensor, weights: Weights, chunk: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        next_token = torch.zeros((), dtype=wide(hidden), device=hidden.device)
        kl = torch.zeros_like(next_token)
        grad_hidden = torch.empty_like(hidden)
        rows = min(chunk, rounded(len(hidden)))
        memory = torch.empty(2, rows, len(weight), dtype=weight.dtype, device=weight.device)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            count = len(labels[part])
            logits, base_logits = memory[:, : min(rows, rounded(count))]
            missing = (0, 0, 0, len(logits) - count)
            torch.mm(pad(hidden[part], missing), weight.T, out=logits)
            torch.mm(pad(base_hidden[part], missing), weight.T, out=base_logits)
            for few in range(0, count, _FLOAT32_ROWS):
                row = slice(few, min(few + _FLOAT32_ROWS, count))
                log_probs = torch.log_softmax(logits[row], dim=-1, dtype=wide(hidden))
                base_log_probs = torch.log_softmax(base_logits[row], dim=-1, dtype=wide(hidden))
                base_probs = base_log_probs.exp()
                target = (torch.arange(len(log_probs), device=labels.device), labels[part][row])
                next_token -= log_probs[target].sum()
                kl += (base_probs * (base_log_probs - log_probs)).sum()
                # Softmax less the distribution that is asked for: the label's, the base's, or a mixture.
                gradient = log_probs.exp_().mul_(weights.next_token + weights.kl).sub_(base_probs, alpha=weights.kl)
                gradient[target] -= weights.next_token
                logits[row] = gradient
            logits[count:] = 0.0
            grad_hidden[part] = (logits @ weight)[:count]
        ctx.save_for_backward(grad_hidden)
        ctx.mark_non_differentiable(next_token, kl)
        return weights.next_token * next_token + weights.kl * kl, next_token, kl

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (grad_hidden,) = ctx.saved_tensors
        return grad_hidden * grad_outputs[0].to(grad_hidden.dtype), None, None, None, None, None
