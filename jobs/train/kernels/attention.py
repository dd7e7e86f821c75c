"""Attention by plain matrix products, for rows short enough that their scores fit into memory.

On a CPU, torch's flash attention is made for long rows: 18 layers of Gemma 3 270M on 4 rows of 256 tokens spend 0.30 s
in it, forwards and backwards, and 0.08 s here. Heads that share keys are one product. What is kept is the input and the
weights of attention in the type of the input. It knows tensors, and how transformers plugs attention in.
"""

from typing import Any

import torch
from torch import Tensor, nn

NAME = "plait_short_rows"


def use_short_row_attention(causal_lm: Any) -> None:
    """Let a transformers model attend this way."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    causal_lm.set_attn_implementation(NAME)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers asks of an attention: query [b, h, t, d], key and value [b, k, s, d], an additive mask
    [b, 1, t, s]; gives [b, t, h, d]."""
    apply: Any = _Attention.apply  # torch leaves it untyped
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return apply(query, key, value, attention_mask, scale, dropout).transpose(1, 2).contiguous(), None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, dropout: float
    ) -> Tensor:
        batch, heads, length, width = query.shape
        groups = (batch, key.shape[1], -1, width)  # the queries that share a key's head are rows of one product
        grouped = query.reshape(groups)
        scores = (grouped @ key.transpose(-1, -2)).mul_(scale)
        by_head = scores.view(batch, heads, length, -1)
        if mask is not None:
            by_head += mask[..., : key.shape[-2]]
        weights = torch.softmax(scores, dim=-1, out=scores)
        kept = None
        if dropout:
            kept = torch.empty_like(weights).bernoulli_(1 - dropout).div_(1 - dropout)
            weights = weights * kept
        ctx.save_for_backward(grouped, key, value, scores, kept)
        ctx.scale, ctx.shape = scale, query.shape
        return (weights @ value).view(query.shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        query, key, value, probs, kept = ctx.saved_tensors
        grad = grad_outputs[0].reshape(query.shape)
        weights = probs if kept is None else probs * kept
        grad_value = weights.transpose(-1, -2) @ grad
        grad_scores = grad @ value.transpose(-1, -2)
        if kept is not None:
            grad_scores.mul_(kept)
        along = (grad_scores * probs).sum(-1, keepdim=True)
        grad_scores.sub_(along).mul_(probs).mul_(ctx.scale)
        grad_query = (grad_scores @ key).view(ctx.shape)
        return grad_query, grad_scores.transpose(-1, -2) @ query, grad_value, None, None, None
