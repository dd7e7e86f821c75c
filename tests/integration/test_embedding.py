import shutil
from pathlib import Path

import numpy as np
import pytest

from plait.errors import InvalidInput, ModelNotFound
from plait.models.embedding import Embedding
from plait.models.encoders.load import load_embedding
from plait.models.vectors import Prompts


@pytest.fixture(scope="module")
def model(tiny_embedder: Path) -> Embedding:
    return load_embedding(str(tiny_embedder), dtype="float32")


def test_vectors_are_float32_of_unit_length_in_the_order_of_the_texts(model: Embedding) -> None:
    texts = ["a long text about ray and its actors", "short", "another text"]
    vectors = model.encode_passages(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, model.dimension) == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(vectors[1], model.encode_passages(["short"])[0], atol=1e-5)
    np.testing.assert_allclose(vectors[1], model.encode_queries(["short"])[0], atol=1e-5)


def test_no_texts_give_no_vectors(model: Embedding) -> None:
    assert model.encode_passages([]).shape == (0, 32)


def test_bfloat16_gives_nearly_the_same_vectors(model: Embedding, tiny_embedder: Path) -> None:
    texts = ["one text", "and another one"]
    rounded = load_embedding(str(tiny_embedder), dtype="bfloat16").encode_passages(texts)
    assert (rounded * model.encode_passages(texts)).sum(axis=1).min() > 0.99


def test_prompts_of_the_model_are_put_before_queries_and_passages(tiny_embedder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    prompted = SentenceTransformer(str(tiny_embedder), prompts={"query": "query: ", "document": "passage: "})
    prompted.save(str(tmp_path / "prompted"))
    model = load_embedding(str(tmp_path / "prompted"), dtype="float32")
    plain = load_embedding(str(tiny_embedder), dtype="float32")
    np.testing.assert_allclose(model.encode_queries(["x"]), plain.encode_queries(["query: x"]), atol=1e-5)
    np.testing.assert_allclose(model.encode_passages(["x"]), plain.encode_passages(["passage: x"]), atol=1e-5)


def test_prompts_that_are_given_go_before_those_of_the_model(tiny_embedder: Path) -> None:
    given = load_embedding(str(tiny_embedder), dtype="float32", prompts=Prompts("query: ", "passage: "))
    plain = load_embedding(str(tiny_embedder), dtype="float32")
    np.testing.assert_allclose(given.encode_queries(["x"]), plain.encode_queries(["query: x"]), atol=1e-5)
    np.testing.assert_allclose(given.encode_passages(["x"]), plain.encode_passages(["passage: x"]), atol=1e-5)


def test_fewer_dimensions_are_the_first_ones_at_unit_length(model: Embedding, tiny_embedder: Path) -> None:
    small = load_embedding(str(tiny_embedder), dtype="float32", dimensions=8)
    first = model.encode_passages(["a text"])[:, :8]
    assert small.dimension == 8
    np.testing.assert_allclose(small.encode_passages(["a text"]), first / np.linalg.norm(first), atol=1e-6)
    with pytest.raises(InvalidInput, match="makes vectors of 32 dimensions, not of 33"):
        load_embedding(str(tiny_embedder), dimensions=33)


def test_a_broken_model_is_one_sentence(tiny_embedder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_embedder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelNotFound, match="broken' holds no embedding model"):
        load_embedding(str(broken))
