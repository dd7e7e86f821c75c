"""Cross-entropy of a language-model head without its logits.

With a vocabulary of 262,144 the plain path (all logits, then softmax, then backward) is bound by memory: it spends most
of a training step writing and reading logits. Here only positions with a label are projected, a chunk at a time, and
the gradient is made in the same pass, so no more than one chunk of logits ever exists. The idea is that of fused linear
cross-entropy (Hsu et al. 2024, Liger Kernel, arXiv:2410.10989; Wijmans et al. 2024, arXiv:2411.09009); on CUDA Liger's
kernel does it, where it is installed (the extra `gpu`).

It knows tensors only: no model, no tokenizer.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

IGNORED = -100
"""The label of a position that carries no loss."""

# Large enough that reading the head's weights once a chunk costs little: 128 positions of a vocabulary of 262,144 in
# bfloat16. Of 64 positions the products ran at 430 GFLOP/s, of 256 at 700, of 512 at 730.
_CHUNK_BYTES = 64 * 2**20

_TINY = 1e-38  # probabilities below it are taken for it, so that a loss stays finite


def linear_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int | None = None) -> Tensor:
    """Sum of the cross-entropy of `hidden @ weight.T` against `labels`, over the positions that have a label.

    Args:
        hidden: [n, d], the last hidden states; gradients flow to it.
        weight: [v, d], the output head; gradients flow to it where it is trained.
        labels: int64 [n], each in [0, v) or IGNORED.
        chunk_tokens: positions projected at a time; default: as many as make 64 MiB of logits.

    Returns:
        A float32 scalar (float64 for float64 input). Divide by the number of labels for the mean.
    """
    if hidden.is_cuda and find_spec("liger_kernel") is not None:
        from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction as Liger

        # Arguments by position: bias, class weights, ignored label, z-loss, smoothing, reduction.
        fused: Tensor = Liger.apply(hidden, weight, labels, None, None, IGNORED, 0.0, 0.0, "sum")[0]
        return fused.float()
    labelled = labels != IGNORED
    apply: Any = _SummedLoss.apply  # torch leaves it untyped
    total: Tensor = apply(hidden[labelled], weight, labels[labelled], chunk_tokens or chunk_tokens_of(weight))
    return total


def linear_log_probs(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int | None = None) -> Tensor:
    """Log-probability of every label under `softmax(hidden @ weight.T)`; 0 where there is no label.

    Args:
        hidden: [n, d], the last hidden states; gradients flow to it.
        weight: [v, d], the frozen output head.
        labels: int64 [n], each in [0, v) or IGNORED.
        chunk_tokens: as in `linear_cross_entropy`.

    Returns:
        float32 [n] (float64 for float64 input).

    Raises:
        ValueError: when `weight` requires a gradient, which this function does not make.
    """
    if weight.requires_grad:
        raise ValueError("linear_log_probs makes no gradient for the head: freeze it")
    labelled = labels != IGNORED
    apply: Any = _LogProbs.apply
    found = apply(hidden[labelled], weight, labels[labelled], chunk_tokens or chunk_tokens_of(weight))
    return torch.zeros(labels.shape, dtype=found.dtype, device=found.device).masked_scatter(labelled, found)


def rounded(count: int) -> int:
    """The next of few sizes: at most a sixteenth larger, a fiftieth on average.

    For every shape that it meets anew, the library of matrix products on CPUs keeps memory; with sizes as they come a
    worker grew by 20 MB a step.
    """
    step = 1 << max(0, count.bit_length() - 5)
    return -(-count // step) * step


def chunk_tokens_of(weight: Tensor) -> int:
    return max(1, _CHUNK_BYTES // (weight.element_size() * len(weight)))


def _chunks(
    hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """For every chunk: where it is, its log-probabilities [c], and the gradient [c or more, v] of their negated sum by
    the logits, in the type of `weight`; rows beyond c are 0. The gradient lies in memory that the next chunk takes."""
    rows = min(chunk_tokens, rounded(len(hidden)))
    memory = torch.empty(rows, len(weight), dtype=weight.dtype, device=weight.device)
    for start in range(0, len(hidden), chunk_tokens):
        part = slice(start, start + chunk_tokens)
        count = len(labels[part])
        target = (torch.arange(count, device=labels.device), labels[part])
        logits = memory[: min(rows, rounded(count))]
        torch.mm(pad(hidden[part], (0, 0, 0, len(logits) - count)), weight.T, out=logits)
        # Row by row and in place: in bfloat16 this takes a fifteenth of the time that float32 logits would.
        probs = torch.softmax(logits, dim=-1, out=logits)
        probs[count:] = 0.0
        of_target = probs[target].to(wide(hidden))
        probs[target] = 0.0
        of_others = probs[:count].sum(dim=-1)
        probs[target] = -of_others
        # Near 1 a probability of few digits says little; what it lacks to 1 says it exactly.
        by_others = torch.log1p(-of_others.to(wide(hidden)))
        yield part, torch.where(of_others < 0.5, by_others, of_target.clamp_min(_TINY).log()), probs


class _SummedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int) -> Tensor:
        total = torch.zeros((), dtype=wide(hidden), device=hidden.device)
        grad_hidden = torch.empty_like(hidden)
        # Summed in float32: a bfloat16 sum over many chunks would lose the small ones.
        grad_weight = (
            torch.zeros(weight.shape, dtype=wide(hidden), device=weight.device) if ctx.needs_input_grad[1] else None
        )
        for part, log_probs, grad_logits in _chunks(hidden, weight, labels, chunk_tokens):
            total -= log_probs.sum()
            grad_hidden[part] = (grad_logits @ weight)[: len(log_probs)]
            if grad_weight is not None:
                grad_weight += grad_logits[: len(log_probs)].T @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        by_weight = None if grad_weight is None else (grad_weight * grad_outputs[0]).to(ctx.weight_dtype)
        return grad_hidden * grad_outputs[0].to(grad_hidden.dtype), by_weight, None, None


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk_tokens: int) -> Tensor:
        found = torch.empty(labels.shape, dtype=wide(hidden), device=hidden.device)
        needs_grad = ctx.needs_input_grad[0]
        grad_hidden = torch.empty_like(hidden) if needs_grad else None
        for part, log_probs, grad_logits in _chunks(hidden, weight, labels, chunk_tokens):
            found[part] = log_probs
            if grad_hidden is not None:
                grad_hidden[part] = -(grad_logits @ weight)[: len(log_probs)]
        ctx.save_for_backward(grad_hidden)
        return found

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (grad_hidden,) = ctx.saved_tensors
        return grad_hidden * grad_outputs[0][:, None].to(grad_hidden.dtype), None, None, None


def wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
