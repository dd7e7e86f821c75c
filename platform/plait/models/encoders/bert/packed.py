"""Weights as encoder.c reads them: structures of addresses, and the arrays that they point to."""

import numpy as np
import numpy.typing as npt

from plait.models.encoders.bert.shape import GROUP, Shape
from plait.models.encoders.bert.weights import Affine, Floats, Weights

_HALF, _LANES = 32, 16  # of int8_groups.h and product.h
_LINEAR = np.dtype([(name, "u8") for name in ("weight", "scale", "sum", "bias", "inputs", "outputs")])
_NORM = np.dtype([("weight", "u8"), ("bias", "u8")])
_LAYER = np.dtype(
    [
        *((name, _LINEAR) for name in ("query_key", "mixed", "up", "down")),
        ("value", "u8"),
        ("value_bias", "u8"),
        ("after_mixed", _NORM),
        ("after_down", _NORM),
    ]
)
_ENCODER = np.dtype(
    [
        ("words", "u8"),
        ("positions", "u8"),
        ("norm", _NORM),
        *((name, "u8") for name in ("layers", "layer_count", "width", "inner", "heads")),
        ("epsilon", "f8"),
    ]
)


class PackedEncoder:
    """`address` is that of an Encoder in C, valid as long as this object is."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        self._kept: list[npt.NDArray[np.generic]] = []
        layers = np.zeros(shape.layers, _LAYER)
        for packed, layer in zip(layers, weights.layers, strict=True):
            query, key = layer.query, layer.key
            both = Affine(np.concatenate([query.weight, key.weight]), np.concatenate([query.bias, key.bias]))
            packed["query_key"] = self._linear(both)
            packed["value"] = self._keep(_in_pairs(layer.value.weight))
            packed["value_bias"] = self._keep(layer.value.bias)
            packed["mixed"] = self._linear(layer.mixed)
            packed["after_mixed"] = self._norm(layer.after_mixed)
            packed["up"] = self._linear(layer.up)
            packed["down"] = self._linear(layer.down)
            packed["after_down"] = self._norm(layer.after_down)
        encoder = np.zeros(1, _ENCODER)
        encoder[0] = (
            self._keep(weights.words),
            self._keep(weights.positions),
            self._norm(weights.norm),
            self._keep(layers),
            *(shape.layers, shape.width, shape.inner, shape.heads),
            shape.epsilon,
        )
        self.address = self._keep(encoder)

    def _linear(self, layer: Affine) -> tuple[int, ...]:
        outputs, inputs = layer.weight.shape
        groups = layer.weight.reshape(outputs, inputs // GROUP, GROUP)
        scale = np.maximum(np.abs(groups).max(-1), 1e-12) / 127
        rounded = np.rint(groups / scale[..., None]).astype(np.int8)
        fours = rounded.reshape(outputs // _HALF, _HALF, inputs // 4, 4).transpose(0, 2, 1, 3)
        sums = rounded.sum(-1, dtype=np.int32) * scale
        scale, sums = (x.reshape(outputs // _HALF, _HALF, -1).transpose(0, 2, 1) for x in (scale, sums))
        return (
            self._keep(fours),
            self._keep(scale.astype(np.float32)),
            self._keep(sums.astype(np.float32)),
            self._keep(layer.bias),
            inputs,
            outputs,
        )

    def _norm(self, norm: Affine) -> tuple[int, int]:
        return self._keep(norm.weight), self._keep(norm.bias)

    def _keep(self, array: npt.NDArray[np.generic]) -> int:
        array = np.ascontiguousarray(array)
        self._kept.append(array)
        return int(array.ctypes.data)


def _in_pairs(weight: Floats) -> npt.NDArray[np.uint16]:
    """In bfloat16, rounded to the nearest, ties to even, as product.h says."""
    outputs, inputs = weight.shape
    bits = weight.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded.reshape(outputs // _LANES, _LANES, inputs // 2, 2).transpose(0, 2, 1, 3)
