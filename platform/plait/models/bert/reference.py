"""BERT's encoder in float32, a text at a time: what the vectors of its 8-bit form are measured against."""

import numpy as np
import numpy.typing as npt
from torch import Tensor, inference_mode, tensor
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from plait.models.bert.shape import Shape
from plait.models.bert.weights import Affine, Weights


@inference_mode()
def exact_vector(weights: Weights, shape: Shape, tokens: list[int]) -> npt.NDArray[np.float32]:
    """The vector of a text, float32 [width], of any length."""
    x = _norm(weights.words[tensor(tokens)] + weights.positions[: len(tokens)], weights.norm, shape)
    for layer in weights.layers:
        q, k, v = (_heads(_linear(x, part), shape) for part in (layer.query, layer.key, layer.value))
        mixed = scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(tokens), shape.width)
        x = _norm(x + _linear(mixed, layer.mixed), layer.after_mixed, shape)
        x = _norm(x + _linear(gelu(_linear(x, layer.up)), layer.down), layer.after_down, shape)
    vector: npt.NDArray[np.float32] = (x.mean(0) if shape.pooling == "mean" else x[0]).numpy()
    return vector


def _linear(x: Tensor, layer: Affine) -> Tensor:
    return linear(x, layer.weight, layer.bias)


def _norm(x: Tensor, norm: Affine, shape: Shape) -> Tensor:
    return layer_norm(x, (shape.width,), norm.weight, norm.bias, shape.epsilon)


def _heads(x: Tensor, shape: Shape) -> Tensor:
    """[tokens, width] to [heads, tokens, dim]."""
    return x.view(len(x), shape.heads, -1).transpose(0, 1)
