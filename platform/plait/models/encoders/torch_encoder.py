"""An embedding model in torch, by sentence-transformers: on GPUs, and on CPUs what OpenVINO cannot do."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joblib import cpu_count

from plait.errors import ModelNotFound, first_line
from plait.models.embedding import EmbeddingOptions
from plait.models.encoders.hardware import computed_in, has_gpu
from plait.models.encoders.local import LocalEmbedding
from plait.models.encoders.tokens import TextTokens
from plait.models.vectors import Vectors

# Imported on the way by peft; warns about kernels for 4-bit layers, which no embedding model here has.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


class TorchEncoder:
    """A loaded sentence-transformers model. `source` is what its user calls it."""

    def __init__(self, model: Any, source: str) -> None:
        self._model = model
        dimension = model.get_embedding_dimension()
        if dimension is None:
            raise ModelNotFound(f"The model '{source}' makes no vectors of a fixed size.", "Choose an embedding model.")
        self.dimension: int = dimension
        self.max_tokens = int(model.max_seq_length or model.tokenizer.model_max_length)
        self.text_tokens = _text_tokens(model.tokenizer)

    @classmethod
    def take(cls, options: EmbeddingOptions) -> LocalEmbedding:
        """Any model of sentence-transformers.

        Raises:
            ModelNotFound: when there is no such model, or it makes no vectors.
        """
        load = load_model if has_gpu() else load_on_all_cores
        model = load(options.model, options.folder, computed_in(options.dtype))
        return LocalEmbedding(cls(model, options.model), options)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included."""
        # The tokenizer's own limit is off: a text that is cut silently would have another text's vector.
        return [len(ids) for ids in self._model.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]

    def encode(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> Vectors:
        """Vectors of texts, float32 [n, dimension]."""
        # A tensor, because numpy has no bfloat16.
        vectors: Vectors = self._call(is_query)(
            list(texts), prompt=prompt, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
        )
        return _numpy(vectors)

    def encode_tokens(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> list[Vectors]:
        """Vectors of the tokens of each text, float32 [tokens, width]."""
        found = self._call(is_query)(
            list(texts),
            prompt=prompt,
            batch_size=batch_size,
            output_value="token_embeddings",
            convert_to_numpy=False,
            show_progress_bar=False,
        )
        return [_numpy(one) for one in found]

    def _call(self, is_query: bool) -> Any:
        return self._model.encode_query if is_query else self._model.encode_document


def _text_tokens(tokenizer: Any) -> TextTokens | None:
    """Those of a fast tokenizer of transformers, which sets the limits of its own at each call."""
    from tokenizers import Tokenizer

    fast = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(fast, Tokenizer):
        return None
    whole = Tokenizer.from_str(fast.to_str())
    whole.no_truncation()
    whole.no_padding()
    return TextTokens(whole)


def load_model(source: str, folder: Path, dtype: str) -> Any:
    """The sentence-transformers model in a folder.

    Raises:
        ModelNotFound: when it holds none.
    """
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(
            str(folder), model_kwargs={"dtype": getattr(torch, dtype), "use_safetensors": True}, local_files_only=True
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelNotFound(f"'{source}' holds no embedding model ({first_line(error)}).") from error


def load_on_all_cores(source: str, folder: Path, dtype: str) -> Any:
    """As `load_model`, on all cores of the machine."""
    import torch

    # Ray sets OMP_NUM_THREADS to the CPUs that a worker reserved, which is less than one for us.
    torch.set_num_threads(cpu_count())
    return load_model(source, folder, dtype)


def _numpy(tensor: Any) -> Vectors:
    array: Vectors = tensor.float().cpu().numpy()
    return array
