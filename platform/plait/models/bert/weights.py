"""The weights of a model of BERT's kind by what they are for, whatever a file calls them.

Without torch, which takes longer to import than all that is done here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import deserialize

from plait.models.bert.shape import Shape

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
        """Read model.safetensors; None where a weight is missing, or one is there that nothing here would use."""
        file = folder / "model.safetensors"
        if not file.is_file():
            return None
        prefixes = ("bert.", "roberta.")
        left = {}
        for name, content in deserialize(file.read_bytes()):
            own = next((name.removeprefix(p) for p in prefixes if name.startswith(p)), name)
            if not own.startswith(_UNUSED):
                left[own] = content

        def take(name: str) -> Floats:
            return _in_float32(left.pop(name))

        def affine(name: str) -> Affine:
            return Affine(take(f"{name}.weight"), take(f"{name}.bias"))

        def layer(number: int) -> LayerWeights:
            own = f"encoder.layer.{number}"
            return LayerWeights(
                query=affine(f"{own}.attention.self.query"),
                key=affine(f"{own}.attention.self.key"),
                value=affine(f"{own}.attention.self.value"),
                mixed=affine(f"{own}.attention.output.dense"),
                after_mixed=affine(f"{own}.attention.output.LayerNorm"),
                up=affine(f"{own}.intermediate.dense"),
                down=affine(f"{own}.output.dense"),
                after_down=affine(f"{own}.output.LayerNorm"),
            )

        try:
            words = take("embeddings.word_embeddings.weight")
            positions = take("embeddings.position_embeddings.weight")[shape.first_position :]
            positions = positions + take("embeddings.token_type_embeddings.weight")[0]
            found = cls(words, positions, affine("embeddings.LayerNorm"), [layer(i) for i in range(shape.layers)])
        except KeyError:
            return None
        return None if left else found


def _in_float32(content: dict[str, Any]) -> Floats:
    """A tensor of a safetensors file. A KeyError says that its numbers are no floats."""
    stored = np.frombuffer(content["data"], {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[content["dtype"]])
    if content["dtype"] == "BF16":  # the upper half of a float
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.reshape(content["shape"]).astype(np.float32, copy=False)
