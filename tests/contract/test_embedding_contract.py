"""What every embedding model must do, in the same words for all: our kernels, OpenVINO, torch, and an endpoint.

All four compute one small random model, so that their vectors can be compared; the endpoint is an HTTP server of the
tests that has the model in torch.
"""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from changed_settings import changed_settings
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel

from plait.errors import InvalidInput, ModelNotFound
from plait.models.embedding import Dtype, Embedding, EmbeddingOptions, TokenEmbedding, kind_of
from plait.models.encoders import load
from plait.models.encoders.bert.encoder import Int8BertEncoder
from plait.models.encoders.endpoint import EmbeddingEndpoint
from plait.models.encoders.load import ENCODERS, embedding_of, load_embedding
from plait.models.encoders.tokens import TextTokens
from plait.models.late_interaction import late_interaction_scores
from plait.models.long_texts import LongTexts, read_texts
from plait.models.vectors import NO_PROMPTS, Prompts, VectorKind

WIDTH = 128
TEXTS = ["Ray keeps its actors warm", "x", "Words of several lengths, " * 10, "Straße", "what is a rank?"]
LONGER_THAN_ANY_READS = "word " * 10_000
Make = Callable[..., Embedding]


class Endpoint(ThreadingHTTPServer):
    """Embeds with a model, as an OpenAI-compatible server does: whole texts, to as many dimensions as are asked for."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model = model
        self.turn = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.turn:
            vectors = self.server.model.encode(body["input"])[:, : body.get("dimensions", WIDTH)]
        data = [{"index": i, "embedding": vector.tolist()} for i, vector in enumerate(vectors)]
        payload = json.dumps({"data": data, "usage": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tiny_embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of one layer as a sentence-transformers model, of a shape that every encoder takes."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=400, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=4, intermediate_size=WIDTH
    )
    model = BertModel(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():  # large enough that the layer does something
            weight.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.2)
    body = Transformer(str(tiny_embedder), max_seq_length=128)
    body.model = model
    made = tmp_path_factory.mktemp("embedding") / "model"
    SentenceTransformer(modules=[body, Pooling(WIDTH)], device="cpu").save(str(made))
    return made


@pytest.fixture(scope="module")
def original(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu")


@pytest.fixture(scope="module")
def endpoint(original: SentenceTransformer) -> Iterator[str]:
    server = Endpoint(original)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module", params=ENCODERS, ids=lambda take: take.__self__.__name__)
def make(request: pytest.FixtureRequest, folder: Path, endpoint: str) -> Iterator[Make]:
    """Loads the model by each encoder of the list, with the prompts and dimensions that a test gives."""
    source = "openai:anything" if request.param == EmbeddingEndpoint.take else str(folder)
    dtype: Dtype = "auto" if request.param == Int8BertEncoder.take else "float32"

    def loaded(prompts: Prompts | None = None, dimensions: int | None = None) -> Embedding:
        found = request.param(EmbeddingOptions(source, dtype, prompts, dimensions))
        if found is None:
            pytest.skip("this encoder takes no model on this machine")
        embedding: Embedding = found
        return embedding

    with changed_settings(embedding_url=endpoint):
        yield loaded


@pytest.fixture(scope="module")
def model(make: Make) -> Embedding:
    return make()


def cosines(ours: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return (ours * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)


def test_vectors_are_those_of_the_original_at_unit_length_in_the_order_of_the_texts(
    model: Embedding, original: SentenceTransformer
) -> None:
    for vectors in (model.encode_passages(TEXTS), model.encode_queries(TEXTS), model.encode_passages(TEXTS, 2)):
        assert (vectors.dtype, vectors.shape) == (np.float32, (len(TEXTS), model.dimension))
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        assert cosines(vectors, original.encode(TEXTS)).min() > 0.999


def test_no_texts_have_no_vectors(model: Embedding) -> None:
    assert model.encode_passages([]).shape == model.encode_queries([]).shape == (0, model.dimension)


def test_each_role_has_its_prompt(make: Make, original: SentenceTransformer) -> None:
    prompted = make(Prompts("find: ", "keep: "))
    assert prompted.prompts == Prompts("find: ", "keep: ")
    assert cosines(prompted.encode_queries(TEXTS), original.encode([f"find: {t}" for t in TEXTS])).min() > 0.999
    assert cosines(prompted.encode_passages(TEXTS), original.encode([f"keep: {t}" for t in TEXTS])).min() > 0.999


def test_fewer_dimensions_are_the_first_ones_and_more_are_refused(make: Make, original: SentenceTransformer) -> None:
    small = make(dimensions=16)
    assert small.dimension == 16
    assert cosines(small.encode_passages(TEXTS), original.encode(TEXTS)[:, :16]).min() > 0.995
    with pytest.raises(InvalidInput, match=f"makes vectors of {WIDTH} dimensions, not of {WIDTH + 1}"):
        make(dimensions=WIDTH + 1)


def test_a_text_that_is_too_long_is_counted_whole_and_cut(model: Embedding) -> None:
    short, long = model.count_tokens(["word", LONGER_THAN_ANY_READS])
    assert 0 < short <= model.max_tokens < long
    np.testing.assert_allclose(np.linalg.norm(model.encode_queries([LONGER_THAN_ANY_READS])), 1, rtol=1e-6)


def test_tokens_have_places_in_a_text_and_make_it_again_where_the_tokenizer_is_known(model: Embedding) -> None:
    tokens: TextTokens | None = getattr(model, "text_tokens", None)
    if tokens is None:
        assert isinstance(model, EmbeddingEndpoint)
        return
    text = "Ray keeps its actors warm"
    places = tokens.places(text)
    assert [len(places) + tokens.special] == model.count_tokens([text])
    assert (places[0][0], places[-1][1]) == (0, len(text))
    (cut,) = read_texts(model, [LONGER_THAN_ANY_READS], "", LongTexts("cut", 8))
    assert model.count_tokens(cut.pieces) == list(cut.tokens) == [8]
    (windows,) = read_texts(model, [LONGER_THAN_ANY_READS], "", LongTexts("mean"))
    assert "".join(windows.pieces).replace(" ", "") == LONGER_THAN_ANY_READS.replace(" ", "")
    assert model.count_tokens(windows.pieces) == list(windows.tokens)
    assert max(windows.tokens) <= model.max_tokens


def test_its_kind_says_what_its_vectors_are_comparable_with(model: Embedding) -> None:
    assert kind_of(model) == VectorKind(model.name, WIDTH, NO_PROMPTS)
    assert kind_of(embedding_of(kind_of(model))) == kind_of(model)


def test_two_threads_may_ask_at_once(model: Embedding) -> None:
    alone = model.encode_passages(TEXTS)
    with ThreadPoolExecutor(2) as threads:
        for vectors in threads.map(lambda _: model.encode_passages(TEXTS), range(4)):
            np.testing.assert_allclose(vectors, alone, atol=1e-5)


def test_vectors_of_tokens_rank_texts_or_are_refused_in_a_sentence(model: Embedding) -> None:
    if not isinstance(model, TokenEmbedding):
        with pytest.raises(InvalidInput, match="gives no vectors of tokens"):
            late_interaction_scores(model, TEXTS[0], TEXTS)
        return
    (tokens,) = model.encode_query_tokens(TEXTS[:1])
    assert (tokens.dtype, tokens.shape) == (np.float32, (model.count_tokens(TEXTS[:1])[0], WIDTH))
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=1), 1, rtol=1e-5)
    scores = late_interaction_scores(model, TEXTS[0], TEXTS)
    assert int(np.argmax(scores)) == 0
    assert scores[0] == pytest.approx(1, abs=1e-3)


def test_the_first_encoder_that_takes_a_model_computes_it(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def takes(name: str, found: Embedding | None) -> Callable[[EmbeddingOptions], Embedding | None]:
        def take(options: EmbeddingOptions) -> Embedding | None:
            asked.append(f"{name} of {options.model}")
            return found

        return take

    with changed_settings(embedding_url=endpoint):
        taken = load_embedding("openai:anything")
        assert isinstance(taken, EmbeddingEndpoint)
        monkeypatch.setattr(load, "ENCODERS", (takes("first", None), takes("second", taken), takes("third", taken)))
        assert load_embedding("m") is taken
    assert asked == ["first of m", "second of m"]
    monkeypatch.setattr(load, "ENCODERS", ())
    with pytest.raises(ModelNotFound, match="No encoder of this machine takes 'm'"):
        load_embedding("m")
