"""The weights of a model of BERT's kind by what they are for, whatever a file calls them."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from plait.models.bert.shape import Shape

_UNUSED = ("pooler.", "cls.", "lm_head.", "embeddings.position_ids")


@dataclass(frozen=True)
class Affine:
    """A linear layer's weight [outputs, inputs] and bias [outputs], or a norm's [width] both."""

    weight: Tensor
    bias: Tensor


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

    words: Tensor
    positions: Tensor
    norm: Affine
    layers: list[LayerWeights]

    @classmethod
    def read(cls, folder: Path, shape: Shape) -> "Weights | None":
        """Read model.safetensors; None where a weight is missing, or one is there that nothing here would use."""
        from safetensors.torch import load_file

        file = folder / "model.safetensors"
        if not file.is_file():
            return None
        prefixes = ("bert.", "roberta.")
        left = {}
        for name, tensor in load_file(file).items():
            own = next((name.removeprefix(p) for p in prefixes if name.startswith(p)), name)
            if not own.startswith(_UNUSED):
                left[own] = tensor

        def affine(name: str) -> Affine:
            return Affine(left.pop(f"{name}.weight").float(), left.pop(f"{name}.bias").float())

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
            positions = left.pop("embeddings.position_embeddings.weight").float()[shape.first_position :]
            positions = positions + left.pop("embeddings.token_type_embeddings.weight").float()[0]
            words = left.pop("embeddings.word_embeddings.weight").float()
            found = cls(words, positions, affine("embeddings.LayerNorm"), [layer(i) for i in range(shape.layers)])
        except KeyError:
            return None
        return None if left else found
