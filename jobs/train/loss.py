"""Cross-entropy of a language-model head without its logits.

With a vocabulary of 262,144 the plain path (all logits, then softmax, then backward) is bound by memory: it spends most
of a training step writing and reading logits. Here only positions with a label are projected, a chunk at a time, and
the gradient is made in the same pass, so no more than one chunk of logits ever exists. The idea is that of fused linear
cross-entropy (Hsu et al. 2024, Liger Kernel, arXiv:2410.10989; Wijmans et al. 2024, arXiv:2411.09009).

It knows tensors only: no model, no tokenizer.
"""

from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""The label of a position that carries no loss."""

# Chunks of this size keep the matrix product efficient and the logits inside the last-level cache of a server CPU.
_CHUNK_BYTES = 64 * 2**20


def linear_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int | None = None) -> Tensor:
    """Sum of the cross-entropy of `hidden @ weight.T` against `labels`, over the positions that have a label.

    Args:
        hidden: [n, d], the last hidden states; gradients flow to it.
        weight: [v, d], the frozen output head.
        labels: int64 [n], each in [0, v) or IGNORED.
        chunk_tokens: positions projected at a time; default: as many as make 64 MiB of float32 logits.

    Returns:
        A float32 scalar (float64 for float64 input). Divide by the number of labels for the mean.

    Raises:
        ValueError: when `weight` requires a gradient, which this function does not make.
    """
    if weight.requires_grad:
        raise ValueError("linear_cross_entropy makes no gradient for the head: freeze it")
    labelled = labels != IGNORED
    chunk = chunk_tokens or max(1, _CHUNK_BYTES // (4 * weight.shape[0]))
    apply: Any = _LinearCrossEntropy.apply  # torch leaves it untyped
    total: Tensor = apply(hidden[labelled], weight, labels[labelled], chunk)
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int) -> Tensor:
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        total = torch.zeros((), dtype=wide, device=hidden.device)
        grad_hidden = torch.empty_like(hidden)
        for start in range(0, hidden.shape[0], chunk_tokens):
            part = slice(start, start + chunk_tokens)
            logits = (hidden[part] @ weight.T).to(wide)
            target = labels[part, None]
            log_normaliser = logits.logsumexp(dim=-1, keepdim=True)
            total += (log_normaliser - logits.gather(-1, target)).sum()
            grad_logits = logits.sub_(log_normaliser).exp_()  # softmax, in the memory of the logits
            grad_logits.scatter_add_(-1, target, -torch.ones_like(target, dtype=wide))
            grad_hidden[part] = grad_logits.to(weight.dtype) @ weight
        ctx.save_for_backward(grad_hidden)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (grad_hidden,) = ctx.saved_tensors
        return grad_hidden * grad_outputs[0].to(grad_hidden.dtype), None, None, None
