import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_settings import changed_settings
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel

from plait.models.encoders import faithful
from plait.models.encoders.load import load_embedding
from plait.models.encoders.local import LocalEmbedding
from plait.models.encoders.openvino_encoder import OpenVinoEncoder, convert
from plait.models.encoders.torch_encoder import TorchEncoder, load_model

TEXTS = ["Ray keeps its actors warm", "x", "Words of several lengths, " * 40, "Straße", "a" * 2000]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path) -> Iterator[None]:
    with changed_settings(home=tmp_path / "home"):
        yield


def load(folder: Path) -> Any:
    return load_model("it", folder, "float32")


@pytest.fixture
def both(tiny_embedder: Path) -> tuple[TorchEncoder, OpenVinoEncoder]:
    converted = convert(tiny_embedder, lambda: load(tiny_embedder))
    assert converted is not None
    return TorchEncoder(load(tiny_embedder), "it"), OpenVinoEncoder(converted, tiny_embedder, "float32", threads=1)


def test_it_makes_the_vectors_of_the_original(both: tuple[TorchEncoder, OpenVinoEncoder]) -> None:
    original, converted = (encoder.encode(TEXTS, "query: ", 2, True) for encoder in both)
    np.testing.assert_allclose(converted, original, atol=1e-4)


def test_its_vectors_of_tokens_are_those_of_the_original_without_padding(
    both: tuple[TorchEncoder, OpenVinoEncoder],
) -> None:
    original, converted = (encoder.encode_tokens(TEXTS, "", 3, False) for encoder in both)
    for expected, tokens in zip(original, converted, strict=True):
        np.testing.assert_allclose(tokens, expected, atol=1e-4)


def test_it_counts_the_tokens_of_texts_that_are_too_long(both: tuple[TorchEncoder, OpenVinoEncoder]) -> None:
    original, converted = both
    assert converted.count_tokens(TEXTS) == original.count_tokens(TEXTS)
    assert max(converted.count_tokens(TEXTS)) > converted.max_tokens == original.max_tokens
    assert converted.dimension == original.dimension


AFTER_TWO_ENCODERS = """
import gc, signal, sys
from pathlib import Path
from plait.models.encoders.openvino_encoder import OpenVinoEncoder

encoders = [OpenVinoEncoder(Path(sys.argv[1]), Path(sys.argv[2]), "float32", threads=1) for _ in range(2)]
while encoders:
    del encoders[0]
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
signal.raise_signal(signal.SIGTERM)
"""


def test_signals_are_handled_after_encoders_are_gone(
    tiny_embedder: Path, both: tuple[TorchEncoder, OpenVinoEncoder]
) -> None:
    converted = convert(tiny_embedder, lambda: pytest.fail("loaded again"))
    command = [sys.executable, "-c", AFTER_TWO_ENCODERS, str(converted), str(tiny_embedder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr


def test_a_model_is_converted_once(tiny_embedder: Path, both: tuple[TorchEncoder, OpenVinoEncoder]) -> None:
    assert convert(tiny_embedder, lambda: pytest.fail("loaded again")) is not None


def test_an_embedding_model_on_a_cpu_is_a_converted_one(tiny_embedder: Path) -> None:
    model = load_embedding(str(tiny_embedder))
    assert isinstance(model, LocalEmbedding)
    assert isinstance(model.encoder, OpenVinoEncoder)
    assert model.encode_passages(TEXTS).shape == (len(TEXTS), 32)


def test_a_graph_with_other_vectors_is_not_used(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faithful, "_LEAST_COSINE", 1.1)
    assert convert(tiny_embedder, lambda: load(tiny_embedder)) is None
    assert convert(tiny_embedder, lambda: pytest.fail("tried again")) is None
    model = load_embedding(str(tiny_embedder))
    assert isinstance(model, LocalEmbedding)
    assert isinstance(model.encoder, TorchEncoder)


def test_a_model_that_leaves_prompts_out_of_its_vectors_stays_in_torch(tiny_embedder: Path, tmp_path: Path) -> None:
    body = Transformer(str(tiny_embedder))
    model = SentenceTransformer(modules=[body, Pooling(32, include_prompt=False)], device="cpu")
    model.save(str(tmp_path / "without-prompts"))
    assert convert(tmp_path / "without-prompts", lambda: load(tmp_path / "without-prompts")) is None


def test_a_model_that_reads_an_odd_number_of_tokens_is_not_padded_beyond_it(
    tiny_embedder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    config = BertConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    config.max_position_embeddings = 50
    body = Transformer(str(tiny_embedder), max_seq_length=50)
    body.model = BertModel(config).eval()
    SentenceTransformer(modules=[body, Pooling(32)], device="cpu").save(str(folder))
    converted = convert(folder, lambda: load(folder))
    assert converted is not None
    ours = OpenVinoEncoder(converted, folder, "float32", threads=1).encode(TEXTS, "", 8, False)
    np.testing.assert_allclose(ours, TorchEncoder(load(folder), "it").encode(TEXTS, "", 8, False), atol=1e-4)


def test_a_model_whose_tokenizer_does_not_pad_stays_in_torch(tiny_embedder: Path) -> None:
    model = load(tiny_embedder)
    model.tokenizer.pad_token = None
    assert convert(tiny_embedder, lambda: model) is None
