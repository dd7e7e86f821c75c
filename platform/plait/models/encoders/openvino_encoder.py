"""An embedding model compiled by OpenVINO, for CPUs: the whole sentence-transformers pipeline as one graph.

On two cores with avx512_bf16 all-MiniLM-L6-v2 makes 63 chunks/s of 200 tokens this way, 46 in torch; and it loads in
0.2 s, where importing sentence-transformers alone takes 5. A model is converted once, kept under PLAIT_HOME, and used
only if the vectors of the graph are those of the original.
"""

import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from filelock import FileLock
from joblib import cpu_count

from plait.models.embedding import EmbeddingOptions
from plait.models.encoders.faithful import PROBES, are_the_same
from plait.models.encoders.hardware import computed_in, has_gpu
from plait.models.encoders.local import LocalEmbedding
from plait.models.encoders.tokens import counter_and_reader
from plait.models.encoders.torch_encoder import load_on_all_cores
from plait.models.fingerprint import model_sha256
from plait.models.vectors import Vectors
from plait.settings import settings
from plait.whole_files import whole_folder

_GRAPH, _FACTS = "model.xml", "facts.json"
# Kernels are made and kept for each shape: with lengths in steps there are few.
_LENGTH_STEP = 16
_FIRST_CORE = threading.Lock()


class OpenVinoEncoder:
    """A converted model. `dtype`: what it computes in."""

    def __init__(self, folder: Path, original: Path, dtype: str, threads: int) -> None:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        self.dimension, self.max_tokens = int(facts["dimension"]), int(facts["max_tokens"])
        self.text_tokens, self._tokenizer = counter_and_reader(original, self.max_tokens)
        # Not beyond what the model reads: it may have no positions there.
        step = _LENGTH_STEP if self.max_tokens % _LENGTH_STEP == 0 else None
        self._tokenizer.enable_padding(pad_id=facts["pad_id"], pad_token=facts["pad_token"], pad_to_multiple_of=step)
        hints = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # others use the same cores
        }
        with _FIRST_CORE:  # two threads that load at once would make two
            core = _core()
        self._compiled = core.compile_model(str(folder / _GRAPH), "CPU", hints)

    @classmethod
    def take(cls, options: EmbeddingOptions) -> LocalEmbedding | None:
        """The converted model, on a CPU; None: there is a GPU, or OpenVINO does not make the model's vectors."""
        if has_gpu():
            return None
        converted = convert(options.folder, lambda: load_on_all_cores(options.model, options.folder, "float32"))
        if converted is None:
            return None
        encoder = cls(converted, options.folder, computed_in(options.dtype), cpu_count())
        return LocalEmbedding(encoder, options)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included."""
        return self.text_tokens.count(texts)

    def encode(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> Vectors:
        """Vectors of texts, float32 [n, dimension]. Queries and passages differ by their prompts alone."""
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for i, (_, vector) in self._run([prompt + text for text in texts], batch_size):
            vectors[i] = vector
        return vectors

    def encode_tokens(
        self,
        texts: Sequence[str],
        prompt: str,
        batch_size: int,
        is_query: bool,
    ) -> list[Vectors]:
        """Vectors of the tokens of each text, float32 [tokens, width]."""
        found = {i: tokens for i, (tokens, _) in self._run([prompt + text for text in texts], batch_size)}
        return [found[i] for i in range(len(texts))]

    def _run(self, texts: Sequence[str], batch_size: int) -> Iterator[tuple[int, tuple[Vectors, Vectors]]]:
        """Vectors of tokens and vector of each text, by its number; texts of about one length share a batch."""
        longest_first = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for start in range(0, len(texts), batch_size):
            batch = longest_first[start : start + batch_size]
            encodings = self._tokenizer.encode_batch([texts[i] for i in batch])
            mask = np.array([encoding.attention_mask for encoding in encodings])
            # A request of its own: the deployment that embeds questions may be asked by several threads.
            results = self._compiled.create_infer_request().infer([np.array([e.ids for e in encodings]), mask])
            tokens, vectors = results[0], results[1]
            for row, i in enumerate(batch):
                yield i, (tokens[row][mask[row] > 0], vectors[row])


@cache
def _core() -> Any:
    """OpenVINO's core, kept as long as the process lives.

    Its first compilation gives the calling thread another stack for signal handlers, and its end frees that stack: the
    next signal that the thread handles, SIGTERM for one, would end the process with SIGSEGV and without a word.
    """
    import openvino  # type: ignore[import-untyped]

    return openvino.Core()


def convert(original: Path, load: Callable[[], Any]) -> Path | None:
    """The folder of the converted model; converts it the first time.

    `load` makes the sentence-transformers model in float32. None: OpenVINO is not installed, or its graph of this model
    does not make the same vectors.
    """
    try:
        release = version("openvino")
    except PackageNotFoundError:
        return None
    if not (original / "tokenizer.json").is_file():
        return None
    folder = settings().models_dir / f"openvino-{release}-{_identity(original)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with whole_folder(folder, is_private=False) as aside:
                _write(load(), original, aside)
    return folder if (folder / _FACTS).is_file() else None


def _identity(original: Path) -> str:
    """A name for a model: weights, tokenizer and the modules' configurations."""
    digest = hashlib.sha256(model_sha256(original).encode())
    for file in sorted(original.rglob("*.json")):
        digest.update(f"{file.relative_to(original)}:".encode() + file.read_bytes())
    for weights in sorted(original.glob("*/*.safetensors")):  # dense layers after the pooling
        digest.update(weights.read_bytes())
    return digest.hexdigest()[:16]


def _write(model: Any, original: Path, folder: Path) -> None:
    """Write graph and facts to `folder`; without its facts a graph is not used."""
    import openvino
    import torch
    from sentence_transformers.sentence_transformer.modules import Router

    # One graph for queries and passages, that does not know where a prompt ends, is not all that these need.
    if any(isinstance(module, Router) or not getattr(module, "include_prompt", True) for module in model):
        return
    if getattr(model.tokenizer, "pad_token_id", None) is None or model.get_embedding_dimension() is None:
        return

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any, Any]:
            out = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
            return out["token_embeddings"], out["sentence_embedding"]

    example = model.tokenizer(list(PROBES), padding=True, truncation=True, return_tensors="pt")
    # Its converter sends usage statistics, unless it runs in CI.
    with patch.dict(os.environ, CI="true"), torch.inference_mode(), warnings.catch_warnings():
        # The tracer warns of branches that depend on shapes; the check below says whether they matter.
        warnings.simplefilter("ignore")
        try:
            graph = openvino.convert_model(
                Pipeline().eval(), example_input=(example["input_ids"], example["attention_mask"])
            )
        except Exception:  # whatever tracing makes of an architecture that it cannot follow
            return
    openvino.save_model(graph, folder / _GRAPH, compress_to_fp16=False)
    facts = {
        "dimension": model.get_embedding_dimension(),
        "max_tokens": int(model.max_seq_length or model.tokenizer.model_max_length),
        "pad_id": model.tokenizer.pad_token_id,
        "pad_token": model.tokenizer.pad_token,
    }
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
    expected = model.encode(list(PROBES), normalize_embeddings=True, show_progress_bar=False)
    ours = OpenVinoEncoder(folder, original, "float32", torch.get_num_threads()).encode(PROBES, "", len(PROBES), False)
    if not are_the_same(ours, expected):
        (folder / _FACTS).unlink()
