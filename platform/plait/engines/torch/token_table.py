"""The matrix of the vocabulary at both ends of a decoder: tokens to hidden states, hidden states to logits.

Most small models tie the two, and the vocabulary is then most of the model: the matrix is held once, in the form in
which the products read it. Knows no layers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from plait.engines.sampling import largest
from plait.engines.torch.int8_weight import INT8_BLOCK, Int8Weight, LikeliestToken
from plait.engines.torch.kernel_linear import Bfloat16Weight, KernelLinear
from plait.engines.torch.kernels import Kernels


class TokenTable(Protocol):
    """Both ends of a decoder."""

    size: int
    """Tokens of the vocabulary."""

    def embed(self, tokens: Tensor) -> Tensor:
        """Hidden states [t, d] of tokens [t], in memory of their own."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """[r, v] of hidden states [r, d]."""
        ...

    def likeliest(self, hidden: Tensor) -> Tensor:
        """[r] the tokens of the largest logits, of equal ones the first; -1 where the largest is not finite."""
        ...


class TorchTokenTable:
    """A `TokenTable` as torch has it.

    Args:
        embedding: a transformers embedding, scaled or not.
        head: of the vocabulary, [v, d]; perhaps the embedding's own.
    """

    def __init__(self, embedding: Any, head: Tensor) -> None:
        self.size = len(head)
        self._embedding, self._scale = kept(embedding.weight.detach()), _scale(embedding)
        self._head = self._embedding if are_tied(embedding, head) else kept(head)

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self._embedding) * self._scale

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self._head)

    def likeliest(self, hidden: Tensor) -> Tensor:
        return largest(self.logits(hidden))


class KernelTokenTable:
    """A `TokenTable` by the kernels: bfloat16 on CPUs. Where the CPU can, 8 bits beside it find the likeliest token.

    Args:
        embedding, head: as for `TorchTokenTable`.
        is_int8: whether logits, too, are computed in 8 bits.
    """

    def __init__(self, kernels: Kernels, embedding: Any, head: Tensor, is_int8: bool) -> None:
        self.size = len(head)
        exact, approximate = Bfloat16Weight(head), Int8Weight(head) if kernels.has_int8 else None
        self._rows: Callable[[Tensor], Tensor] = (
            exact.rows if are_tied(embedding, head) else partial(F.embedding, weight=kept(embedding.weight.detach()))
        )
        self._scale = _scale(embedding)
        in_8_bits = approximate if is_int8 and self.size % INT8_BLOCK == 0 else None
        self._head = KernelLinear(kernels, in_8_bits or exact)
        self._likeliest = LikeliestToken(kernels, exact, approximate) if approximate else None

    def embed(self, tokens: Tensor) -> Tensor:
        return self._rows(tokens) * self._scale

    def logits(self, hidden: Tensor) -> Tensor:
        return self._head(hidden)

    def likeliest(self, hidden: Tensor) -> Tensor:
        if self._likeliest is None or not len(hidden):
            return largest(self.logits(hidden))
        return self._likeliest(hidden)


def are_tied(embedding: Any, head: Tensor) -> bool:
    """Whether the head is the embedding's own matrix."""
    return bool(embedding.weight.data_ptr() == head.data_ptr() and embedding.weight.shape == head.shape)


def kept(weight: Tensor) -> Tensor:
    """A weight that stays. On a CPU a copy: the original is part of the file in memory, all of which would stay."""
    return weight.clone() if weight.device.type == "cpu" else weight


def _scale(embedding: Any) -> Tensor:
    """What the model multiplies embeddings by, in its own type."""
    scale = getattr(embedding, "embed_scale", None)
    weight = embedding.weight
    return torch.ones((), dtype=weight.dtype, device=weight.device) if scale is None else scale.to(weight)
