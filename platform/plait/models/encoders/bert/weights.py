"""The weights of a model of BERT's kind by what they are for, whatever a file calls them.

Without torch, which takes longer to import than all that is done here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import deserialize

from plait.models.encoders.bert.shape import Shape

Floats = npt.NDArray[np.float32]
_UNUSED = ("pooler.", "cls.", "lm_head.", "embeddings.position_ids")


@dataclass(frozen=True)
class Affine:
    """A linear layer's weight [outputs, inputs] and bias [outputs], or a norm's [width] both."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class LayerWeights:
    """One layer, in the order in which it computes."""

    query: Affine
    key: Affine
    value: Affine
    mixed: Affine
    after_mixed: Affine
    up: Affine
    down: Affine
    after_down: Affine


@dataclass(frozen=True)
class Weights:
    """In float32. `words` [vocabulary, width]; `positions` [longest, width], the type of all tokens added."""

    words: Floats
    positions: Floats
    norm: Affine
    layers: list[LayerWeights]

    @classmethod
    def read(cls, folder: Path, shape: Shape) -> "Weights | None":
        """Read model.safetensors.

        None: a weight is missing or of another shape, or one is there that nothing here would use. A broken file
        raises.
        """
        file = folder / "model.safetensors"
        if not file.is_file():
            return None
        prefixes = ("bert.", "roberta.")
        left = {}
        for name, content in deserialize(file.read_bytes()):
            own = next((name.removeprefix(p) for p in prefixes if name.startswith(p)), name)
            if not own.startswith(_UNUSED):
                left[own] = content

        def take(name: str, *sizes: int) -> Floats:
            found = _in_float32(left.pop(name))
            if found.shape != sizes:
                raise KeyError(name)
            return found

        def table(name: str) -> Floats:
            rows = left[f"embeddings.{name}_embeddings.weight"]["shape"][0]
            return take(f"embeddings.{name}_embeddings.weight", rows, width)

        def linear(name: str, inputs: int, outputs: int) -> Affine:
            return Affine(take(f"{name}.weight", outputs, inputs), take(f"{name}.bias", outputs))

        def norm(name: str) -> Affine:
            return Affine(take(f"{name}.weight", width), take(f"{name}.bias", width))

        def layer(number: int) -> LayerWeights:
            own = f"encoder.layer.{number}"
            return LayerWeights(
                query=linear(f"{own}.attention.self.query", width, width),
                key=linear(f"{own}.attention.self.key", width, width),
                value=linear(f"{own}.attention.self.value", width, width),
                mixed=linear(f"{own}.attention.output.dense", width, width),
                after_mixed=norm(f"{own}.attention.output.LayerNorm"),
                up=linear(f"{own}.intermediate.dense", width, shape.inner),
                down=linear(f"{own}.output.dense", shape.inner, width),
                after_down=norm(f"{own}.output.LayerNorm"),
            )

        width = shape.width
        try:
            words = table("word")
            positions = table("position")[shape.first_position :] + table("token_type")[0]
            found = cls(words, positions, norm("embeddings.LayerNorm"), [layer(i) for i in range(shape.layers)])
        except KeyError:
            return None
        return None if left or len(positions) < shape.max_tokens else found


def _in_float32(content: dict[str, Any]) -> Floats:
    """A tensor of a safetensors file. A KeyError says that its numbers are no floats."""
    stored = np.frombuffer(content["data"], {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[content["dtype"]])
    if content["dtype"] == "BF16":  # the upper half of a float
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.reshape(content["shape"]).astype(np.float32, copy=False)
