"""Texts to vectors by encoder.c."""

import ctypes
import logging
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from joblib import cpu_count
from safetensors import SafetensorError

from plait.models.embedding import EmbeddingOptions
from plait.models.encoders.bert.packed import PackedEncoder
from plait.models.encoders.bert.reference import exact_vector
from plait.models.encoders.bert.shape import Shape
from plait.models.encoders.bert.weights import Weights
from plait.models.encoders.faithful import PROBES, are_the_same
from plait.models.encoders.hardware import has_gpu
from plait.models.encoders.local import LocalEmbedding
from plait.models.encoders.tokens import counter_and_reader
from plait.models.vectors import Vectors
from plait.native import CannotCompile, compiled, has_instructions

_log = logging.getLogger(__name__)
_ITEM_TOKENS = 256
"""Tokens of texts that go through the layers together, so that weights are read from memory seldom enough."""
_INSTRUCTIONS = ("avx512f", "avx512_vnni", "avx512_bf16")
_TOKENS, _POOLINGS = 0, {"mean": 1, "cls": 2}  # of encoder.c


class Int8BertEncoder:
    """A model of BERT's kind in 8-bit integers. A text's vector does not depend on the texts beside it."""

    def __init__(self, folder: Path, shape: Shape, packed: PackedEncoder, library: ctypes.CDLL, threads: int) -> None:
        self.dimension, self.max_tokens = shape.width, shape.max_tokens
        self.text_tokens, self._reader = counter_and_reader(folder, shape.max_tokens)
        self._packed = packed
        self._library = library
        self._pooling = _POOLINGS[shape.pooling]
        self._threads = threads

    @classmethod
    def take(cls, options: EmbeddingOptions) -> LocalEmbedding | None:
        """The model in 8 bits, on a CPU; None: there is a GPU, a dtype is asked for, or `load` does not take it."""
        encoder = None if options.dtype != "auto" or has_gpu() else cls.load(options.folder, cpu_count())
        return None if encoder is None else LocalEmbedding(encoder, options)

    @classmethod
    def load(cls, folder: Path, threads: int) -> "Int8BertEncoder | None":
        """The model of a folder, computed by so many threads.

        None: it is no such model or a broken one, it loses too much by 8 bits, or the processor has no use for them:
        without the instructions, or with a matrix unit (AMX), which does better in bfloat16.
        """
        if not has_instructions(*_INSTRUCTIONS) or has_instructions("amx_bf16"):
            return None
        try:
            shape = Shape.read(folder)
            weights = None if shape is None else Weights.read(folder, shape)
        except (ArithmeticError, AttributeError, LookupError, OSError, SafetensorError, TypeError, ValueError):
            return None  # whoever takes it instead says what is wrong with it
        library = None if weights is None else _library()
        if shape is None or weights is None or library is None:
            return None
        encoder = cls(folder, shape, PackedEncoder(weights, shape), library, threads)
        probes = encoder._reader.encode_batch(list(PROBES))
        vocabulary = encoder._reader.get_vocab(with_added_tokens=True)
        if any(any(probe.type_ids) for probe in probes) or max(vocabulary.values()) >= len(weights.words):
            return None
        tokens = [probe.ids for probe in probes]
        exact = np.array([exact_vector(weights, shape, ids) for ids in tokens])
        return encoder if are_the_same(encoder._run(tokens, encoder._pooling), exact) else None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included."""
        return self.text_tokens.count(texts)

    def encode(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> Vectors:
        """Vectors of texts, float32 [n, dimension]. Batches need no size, queries and passages differ by prompts."""
        encodings = self._reader.encode_batch([prompt + text for text in texts])
        return self._run([encoding.ids for encoding in encodings], self._pooling)

    def encode_tokens(self, texts: Sequence[str], prompt: str, batch_size: int, is_query: bool) -> list[Vectors]:
        """Vectors of the tokens of each text, float32 [tokens, width]."""
        if not texts:
            return []
        tokens = [encoding.ids for encoding in self._reader.encode_batch([prompt + text for text in texts])]
        ends = np.cumsum([len(of_text) for of_text in tokens])
        return np.split(self._run(tokens, _TOKENS), ends[:-1])

    def _run(self, texts: Sequence[Sequence[int]], pooling: int) -> Vectors:
        lengths = [len(text) for text in texts]
        tokens = np.concatenate(texts).astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        items = _items(lengths)
        rows, longest = int(np.diff(starts[items]).max()), max(lengths)
        threads = min(self._threads, len(items) - 1)
        each = self._library.working_bytes(self._packed.address, rows, longest)
        work = np.empty(each * threads, np.uint8)
        out = np.empty((len(tokens) if pooling == _TOKENS else len(texts), self.dimension), np.float32)
        self._library.encode(
            *(self._packed.address, tokens.ctypes.data, starts.ctypes.data, items.ctypes.data),
            *(len(items) - 1, rows, longest, pooling, out.ctypes.data, work.ctypes.data, threads),
        )
        return out


def _items(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    """Numbers of the texts that items begin with, and how many texts there are."""
    begins, tokens = [0], 0
    for i, length in enumerate(lengths):
        if tokens and tokens + length > _ITEM_TOKENS:
            begins.append(i)
            tokens = 0
        tokens += length
    return np.array([*begins, len(lengths)], np.int64)


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = compiled(files("plait.models.encoders.bert"))
    except CannotCompile as reason:
        _log.warning("The embedding kernels cannot be built (%s); embedding is slower without them.", reason)
        return None
    pointer, long = ctypes.c_void_p, ctypes.c_long
    library.working_bytes.argtypes, library.working_bytes.restype = (pointer, long, long), long
    library.encode.argtypes = (*[pointer] * 4, *[long] * 3, ctypes.c_int, pointer, pointer, ctypes.c_int)
    library.encode.restype = None
    return library
