"""BERT's encoder in float32, a text at a time: what the vectors of its 8-bit form are measured against."""

from math import erf

import numpy as np

from plait.models.encoders.bert.shape import Shape
from plait.models.encoders.bert.weights import Affine, Floats, Weights

_erf = np.vectorize(erf, otypes=[np.float32])


def exact_vector(weights: Weights, shape: Shape, tokens: list[int]) -> Floats:
    """The vector of a text, float32 [width], of any length."""
    x = _norm(weights.words[tokens] + weights.positions[: len(tokens)], weights.norm, shape)
    for layer in weights.layers:
        q, k, v = (_heads(_linear(x, part), shape) for part in (layer.query, layer.key, layer.value))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(np.float32(q.shape[-1]))
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(len(tokens), shape.width)
        x = _norm(x + _linear(mixed, layer.mixed), layer.after_mixed, shape)
        inner = _linear(x, layer.up)
        inner *= (1 + _erf(inner / np.sqrt(np.float32(2)))) / 2
        x = _norm(x + _linear(inner, layer.down), layer.after_down, shape)
    vector: Floats = x.mean(0) if shape.pooling == "mean" else x[0]
    return vector


def _linear(x: Floats, layer: Affine) -> Floats:
    return x @ layer.weight.T + layer.bias


def _norm(x: Floats, norm: Affine, shape: Shape) -> Floats:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(shape.epsilon))
    normed: Floats = centred / deviation * norm.weight + norm.bias
    return normed


def _heads(x: Floats, shape: Shape) -> Floats:
    """[tokens, width] to [heads, tokens, dim]."""
    return x.reshape(len(x), shape.heads, -1).transpose(1, 0, 2)
