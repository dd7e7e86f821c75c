"""The endpoint client against an HTTP server of the tests, that counts, refuses and embeds as it is told."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from changed_settings import changed_settings

from plait.errors import InvalidInput, ModelNotFound, Unavailable
from plait.jobs.ingest.embed import Embed, prompts_of
from plait.models.embedding import kind_of
from plait.models.encoders.endpoint import EmbeddingEndpoint
from plait.models.vectors import Prompts, VectorKind
from plait.recipes import IngestRecipe

DIMENSION = 6


class Endpoint(ThreadingHTTPServer):
    """`statuses` are answered first, one a request, then vectors that only a text's letters decide about."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.arrivals: list[float] = []
        self.statuses: list[int] = []
        self.turn = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.turn:
            self.server.arrivals.append(time.monotonic())
            status = self.server.statuses.pop(0) if self.server.statuses else 200
            if status == 200:
                self.server.requests.append(body | {"key": self.headers["Authorization"]})
        if body["model"] != "letters":
            status = 404
        dimension = body.get("dimensions", DIMENSION)
        data = [{"index": i, "embedding": vector(text, dimension)} for i, text in enumerate(body["input"])]
        answer = {"data": data[::-1], "usage": {}} if status == 200 else {"error": {"message": f"status {status}"}}
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if status == 429:
            self.send_header("Retry-After", "0.05")
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


def vector(text: str, dimension: int) -> list[float]:
    return [float(3 * text.count(chr(97 + i)) + 1) for i in range(dimension)]


def unit(text: str, dimension: int = DIMENSION) -> npt.NDArray[np.float64]:
    values = np.array(vector(text, dimension))
    return values / np.linalg.norm(values)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def model(endpoint: Endpoint, **options: Any) -> EmbeddingEndpoint:
    return EmbeddingEndpoint("openai:letters", url=endpoint.url, api_key="secret", **options)


def test_vectors_come_in_the_order_of_the_texts_at_unit_length_with_prompts(endpoint: Endpoint) -> None:
    letters = model(endpoint, prompts=Prompts("a: ", "b: "))
    assert kind_of(letters) == VectorKind("openai:letters", DIMENSION, Prompts("a: ", "b: "))
    texts = ["abc", "ccc", "bad"]
    np.testing.assert_allclose(letters.encode_passages(texts), [unit("b: " + text) for text in texts], atol=1e-6)
    np.testing.assert_allclose(letters.encode_queries(texts), [unit("a: " + text) for text in texts], atol=1e-6)
    assert {request["key"] for request in endpoint.requests} == {"Bearer secret"}
    assert letters.encode_passages([]).shape == (0, DIMENSION)


def test_texts_are_sent_in_batches_of_so_many_tokens(endpoint: Endpoint) -> None:
    letters = model(endpoint)
    endpoint.requests.clear()
    texts = [f"{number} " + "words " * 500 for number in range(30)]  # about 1,000 tokens each
    vectors = letters.encode_passages(texts)
    np.testing.assert_allclose(vectors, [unit(text) for text in texts], atol=1e-6)
    sizes = sorted(len(request["input"]) for request in endpoint.requests)
    assert sum(sizes) == 30
    assert sizes[-1] == 8


def test_a_limit_of_the_endpoint_and_its_faults_are_waited_out(endpoint: Endpoint) -> None:
    letters = model(endpoint)
    endpoint.statuses = [429, 429, 503]
    np.testing.assert_allclose(letters.encode_passages(["abc"]), [unit("abc")], atol=1e-6)
    assert endpoint.statuses == []


def test_an_endpoint_that_goes_on_failing_is_one_sentence(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.models.encoders.endpoint._RETRIES", 1)
    letters = model(endpoint)
    endpoint.statuses = [429] * 2
    with pytest.raises(Unavailable, match=r"does not embed, after 1 retries .*status 429"):
        letters.encode_passages(["abc"])


def test_requests_keep_to_the_pace(endpoint: Endpoint) -> None:
    letters = model(endpoint, requests_per_minute=600)
    letters.encode_passages(["words " * 3000 for _ in range(4)])
    distances = np.diff(sorted(endpoint.arrivals))
    assert len(endpoint.arrivals) == 5
    assert sum(distances) >= 4 * 0.1 - 0.05


def test_dimensions_are_asked_for_and_checked(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model(endpoint, dimensions=3).encode_passages(["abc"]).shape == (1, 3)
    monkeypatch.setattr(f"{__name__}.vector", lambda text, dimension: [1.0] * DIMENSION)
    with pytest.raises(InvalidInput, match="makes vectors of 6 dimensions, not of 3"):
        model(endpoint, dimensions=3)


def test_ingestion_embeds_with_the_endpoint_of_the_settings(endpoint: Endpoint) -> None:
    with changed_settings(embedding_url=endpoint.url):
        embedding = {"model": "openai:letters", "tokenizer": "unused", "passage_prompt": "p: "}
        recipe = IngestRecipe.model_validate({"sources": ["docs"], "embedding": embedding})
        chunks = pa.table({"title": ["Title"], "heading": [""], "text": ["a text"]})
        dense = Embed(recipe, prompts_of(recipe.embedding), batch_size=32, ledger=None)(chunks)["dense"].to_pylist()
    np.testing.assert_allclose(dense, [unit("p: Title\na text")], atol=1e-6)


def test_a_model_that_the_endpoint_does_not_have_is_named(endpoint: Endpoint) -> None:
    with pytest.raises(ModelNotFound, match=r"does not give us 'openai:numbers' .*status 404"):
        EmbeddingEndpoint("openai:numbers", url=endpoint.url, api_key="secret")
