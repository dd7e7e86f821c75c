"""Text to vectors, with any sentence-transformers model.

In: a model source and texts. Out: float32 vectors of unit length. A model may want a prompt before queries and another
before passages: they are applied here, so both sides always match. This module knows neither chunks nor an index.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from plait.errors import InvalidInput
from plait.models.encoders.bert.encoder import Int8BertEncoder
from plait.models.encoders.openvino_encoder import OpenVinoEncoder, convert
from plait.models.encoders.torch_encoder import TorchEncoder, load_model
from plait.models.source import resolve_model
from plait.models.vectors import Prompts, VectorKind
from plait.native import has_instructions

# Imported on the way by peft; warns about kernels for 4-bit layers, which no embedding model here has.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

Dtype = Literal["auto", "float32", "bfloat16"]
# Of NVIDIA's driver, its form in WSL, AMD's. Where none is there torch, which takes a second to import, need not look.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
Vectors = npt.NDArray[np.float32]


class _Encoder(Protocol):
    """What all of them do; `prompt` is put before each text."""

    dimension: int
    max_tokens: int

    def count_tokens(self, texts: Sequence[str]) -> list[int]: ...
    def encode(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> Vectors: ...
    def encode_tokens(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> list[Vectors]: ...


class EmbeddingModel:
    """A loaded embedding model, on the GPU of this process where there is one, else on all cores of the machine.

    Args:
        source: model source: hub id, folder or package:NAME.
        dtype: `auto` is what this hardware computes fastest at a cosine of 0.999 to float32.
        prompts: put before texts; None: those of the model's own configuration.
        dimensions: keep the first so many, at unit length again; None: all. For models trained for it (Kusupati et al.
            2022, Matryoshka representation learning, arXiv:2205.13147).

    Raises:
        ModelNotFound: when there is no such model, or it makes no vectors.
        InvalidInput: when it makes fewer dimensions.
    """

    def __init__(
        self, source: str, dtype: Dtype = "auto", prompts: Prompts | None = None, dimensions: int | None = None
    ) -> None:
        self.name = source
        folder = resolve_model(source)
        self.prompts = Prompts.of_model(folder) if prompts is None else prompts
        self._encoder = _encoder(source, folder, dtype)
        dimension = self._encoder.dimension
        if dimensions is not None and dimensions > dimension:
            raise InvalidInput(
                f"'{source}' makes vectors of {dimension} dimensions, not of {dimensions}.",
                "Lower embedding.dimensions, or leave it out.",
            )
        self.dimension: int = dimensions or dimension

    @classmethod
    def of_kind(cls, vectors: VectorKind) -> "EmbeddingModel":
        """The model whose vectors are comparable with those of an index."""
        return cls(vectors.model, prompts=vectors.prompts, dimensions=vectors.dimension)

    @property
    def kind(self) -> VectorKind:
        """What the vectors are comparable with."""
        return VectorKind(self.name, self.dimension, self.prompts)

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special tokens included; what is longer is cut."""
        return self._encoder.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, also of one that is longer than the model reads."""
        return self._encoder.count_tokens(texts)

    def encode_passages(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """Vectors of texts to be found: float32 [n, dimension], unit length. Batches are formed by length."""
        return self._unit(texts, self.prompts.passage, batch_size, is_query=False)

    def encode_queries(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """Vectors of texts to search for: float32 [n, dimension], unit length."""
        return self._unit(texts, self.prompts.query, batch_size, is_query=True)

    def encode_passage_tokens(self, texts: Sequence[str], batch_size: int = 32) -> list[Vectors]:
        """Vectors of the tokens of texts to be found: float32 [tokens, width] each, unit length."""
        tokens = self._encoder.encode_tokens(texts, self.prompts.passage, batch_size, is_query=False)
        return [_normalised(of_text) for of_text in tokens]

    def encode_query_tokens(self, texts: Sequence[str], batch_size: int = 32) -> list[Vectors]:
        """Vectors of the tokens of texts to search for: float32 [tokens, width] each, unit length."""
        tokens = self._encoder.encode_tokens(texts, self.prompts.query, batch_size, is_query=True)
        return [_normalised(of_text) for of_text in tokens]

    def _unit(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        # Normalised in float32, so that lengths are 1 to seven digits.
        return _normalised(self._encoder.encode(texts, prompt, batch_size, is_query)[:, : self.dimension])


def _normalised(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, 1e-12)
    return unit


def _encoder(source: str, folder: Path, dtype: Dtype) -> _Encoder:
    """What computes the vectors: on a CPU our 8-bit kernels, unless a dtype is asked for, or OpenVINO; else torch."""
    has_gpu = _has_gpu()
    if dtype == "auto":
        in_8_bits = None if has_gpu else Int8BertEncoder.load(folder, cpu_count())
        if in_8_bits is not None:
            return in_8_bits
        dtype = _fastest_dtype(has_gpu)
    if not has_gpu:
        converted = convert(folder, lambda: _load_on_all_cores(source, folder))
        if converted is not None:
            return OpenVinoEncoder(converted, folder, dtype, cpu_count())
    return TorchEncoder(
        load_model(source, folder, dtype) if has_gpu else _load_on_all_cores(source, folder, dtype), source
    )


def _load_on_all_cores(source: str, folder: Path, dtype: Literal["float32", "bfloat16"] = "float32") -> Any:
    import torch

    # Ray sets OMP_NUM_THREADS to the CPUs that a worker reserved, which is less than one for us.
    torch.set_num_threads(cpu_count())
    return load_model(source, folder, dtype)


def _has_gpu() -> bool:
    if not any(Path(device).exists() for device in _GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()


def _fastest_dtype(has_gpu: bool) -> Literal["float32", "bfloat16"]:
    """bfloat16 where the processor multiplies in it; elsewhere it is emulated and slower.

    Measured with all-MiniLM-L6-v2 on two cores with avx512_bf16: by OpenVINO 63 chunks/s against 35 in float32, at a
    cosine of at least 0.9999 to the float32 vectors.
    """
    if has_gpu:
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if any(map(has_instructions, ("avx512_bf16", "amx_bf16", "bf16"))) else "float32"
