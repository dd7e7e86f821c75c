"""Text to vectors, with any sentence-transformers model.

In: a model source and texts. Out: float32 vectors of unit length. A model may want a prompt before queries and another
before passages: they are applied here, so both sides always match. This module knows neither chunks nor an index.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from plait.errors import InvalidInput, ModelNotFound
from plait.models.source import resolve_model
from plait.models.vectors import Prompts, VectorKind

# Imported on the way by peft; warns about kernels for 4-bit layers, which no embedding model here has.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

Dtype = Literal["auto", "float32", "bfloat16"]
Vectors = npt.NDArray[np.float32]


class EmbeddingModel:
    """A loaded embedding model, on the GPU of this process where there is one, else on all cores of the machine.

    Args:
        source: model source: hub id, folder or package:NAME.
        dtype: `auto` is bfloat16 where the hardware computes in it, else float32.
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
        import torch

        self.name = source
        if not torch.cuda.is_available():
            # Ray sets OMP_NUM_THREADS to the CPUs that a worker reserved, which is less than one for us.
            torch.set_num_threads(cpu_count())
        chosen = _fastest_dtype() if dtype == "auto" else dtype
        folder = resolve_model(source)
        self.prompts = Prompts.of_model(folder) if prompts is None else prompts
        self._model = _load(source, folder, getattr(torch, chosen))
        dimension = self._model.get_embedding_dimension()
        if dimension is None:
            raise ModelNotFound(f"The model '{source}' makes no vectors of a fixed size.", "Choose an embedding model.")
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
    def tokenizer(self) -> Any:
        """The model's transformers tokenizer."""
        return self._model.tokenizer

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special tokens included; what is longer is cut."""
        limit = self._model.max_seq_length or self.tokenizer.model_max_length
        return int(limit)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, also of one that is longer than the model reads."""
        # The tokenizer's own limit is off: a text that is cut silently would have another text's vector.
        return [len(ids) for ids in self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]

    def encode_passages(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """Vectors of texts to be found: float32 [n, dimension], unit length. Batches are formed by length."""
        return self._unit(self._model.encode_document, texts, self.prompts.passage, batch_size)

    def encode_queries(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """Vectors of texts to search for: float32 [n, dimension], unit length."""
        return self._unit(self._model.encode_query, texts, self.prompts.query, batch_size)

    def encode_passage_tokens(self, texts: Sequence[str], batch_size: int = 32) -> list[Any]:
        """Vectors of the tokens of texts to be found: a float32 tensor [tokens, dimension] each, unit length."""
        return self._tokens(self._model.encode_document, texts, self.prompts.passage, batch_size)

    def encode_query_tokens(self, texts: Sequence[str], batch_size: int = 32) -> list[Any]:
        """Vectors of the tokens of texts to search for: a float32 tensor [tokens, dimension] each, unit length."""
        return self._tokens(self._model.encode_query, texts, self.prompts.query, batch_size)

    def _tokens(self, encode: Any, texts: Sequence[str], prompt: str, batch_size: int) -> list[Any]:
        found = encode(
            list(texts),
            prompt=prompt,
            batch_size=batch_size,
            output_value="token_embeddings",
            convert_to_numpy=False,
            show_progress_bar=False,
        )
        return [(v / v.norm(dim=1, keepdim=True).clamp_min(1e-12)).cpu() for v in (one.float() for one in found)]

    def _unit(self, encode: Any, texts: Sequence[str], prompt: str, batch_size: int) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        # A tensor, because numpy has no bfloat16; normalised in float32, so that lengths are 1 to seven digits.
        options = {"batch_size": batch_size, "convert_to_tensor": True, "show_progress_bar": False}
        vectors = encode(list(texts), prompt=prompt, **options)[:, : self.dimension].float()
        unit: Vectors = (vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)).cpu().numpy()
        return unit


def _load(source: str, folder: Path, torch_dtype: Any) -> Any:
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(
            str(folder), model_kwargs={"dtype": torch_dtype, "use_safetensors": True}, local_files_only=True
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelNotFound(f"'{source}' holds no embedding model ({reason}).") from error


def _fastest_dtype() -> Literal["float32", "bfloat16"]:
    """bfloat16 where the processor multiplies in it.

    Measured with all-MiniLM-L6-v2 on two cores with avx512_bf16: 150 chunks/s against 34-38 in float32, at a cosine
    of at least 0.9999 to the float32 vectors. Without such instructions bfloat16 is emulated and slower.
    """
    import torch

    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bfloat16" if has_bf16 else "float32"
