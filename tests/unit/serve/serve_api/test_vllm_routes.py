"""Routes and fields as vLLM has them: probes, aliases at the root, scores of pairs."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait import __version__
from plait.errors import Unavailable
from plait.serve.api.services import Services
from serve_api.fakes import TOKENIZER, Fakes, error_of, post

SCORES = {"queries": "a", "documents": ["b", "aaa", "a"]}


@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("GET", "/ping"), ("POST", "/ping")])
def test_health_is_an_empty_answer_or_503_with_what_is_missing(
    client: TestClient, fakes: Fakes, method: str, path: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.content) == (200, b"")
    fakes.error = Unavailable("Not there yet: LLM.", "Try again in a moment.")
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


def test_the_version_is_plaits(client: TestClient) -> None:
    assert client.get("/version").json() == {"version": __version__}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/rerank", {"query": "a", "documents": ["b", "a"]}),
        ("/score", {"text_1": "a", "text_2": "a"}),
        ("/tokenize", {"prompt": "ab"}),
        ("/detokenize", {"tokens": [97]}),
    ],
)
def test_what_vllm_has_at_the_root_answers_there_and_below_v1(
    client: TestClient, path: str, body: dict[str, Any]
) -> None:
    at_root, below = (post(client, route, body) for route in (path, f"/v1{path}"))
    made = ("id", "created")
    assert {k: v for k, v in at_root.items() if k not in made} == {k: v for k, v in below.items() if k not in made}


def test_the_tokenizer_says_what_lm_evals_remote_one_asks(client: TestClient) -> None:
    info = client.get("/tokenizer_info").json()
    assert info == client.get("/v1/tokenizer_info").json() == asdict(TOKENIZER)


def test_all_documents_are_ranked_where_top_n_is_vllms_0(client: TestClient) -> None:
    body = {"query": "a", "documents": ["b", "a"], "top_n": 0, "max_tokens_per_doc": 0}
    assert [result["index"] for result in post(client, "/rerank", body)["results"]] == [1, 0]


@pytest.mark.parametrize(
    ("sides", "scores"),
    [
        (SCORES, [0.0, 0.3, 0.1]),
        ({"text_1": "a", "text_2": "aa"}, [0.2]),
        ({"text_1": ["a"], "text_2": ["b", "a"]}, [0.0, 0.1]),
        ({"data_1": ["a", "b", "a"], "data_2": ["aa", "bbb", "b"]}, [0.2, 0.3, 0.0]),
    ],
)
def test_pairs_are_scored_in_the_order_of_the_second_side(
    client: TestClient, sides: dict[str, Any], scores: list[float]
) -> None:
    answer = post(client, "/score", sides)
    assert [(item["index"], item["score"]) for item in answer["data"]] == list(enumerate(scores))
    assert answer["data"][0]["object"] == "score"
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("sides", "sentence"),
    [
        ({"text_1": "a"}, "text_1 and text_2 are required"),
        ({"text_1": "a", "documents": ["b"]}, "text_1 and text_2 are required"),
        (SCORES | {"text_1": "a"}, "text_1 and text_2 are required"),
        ({"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "2 texts and 3 make no pairs"),
        (SCORES | {"use_activation": False}, "as the model's own configuration says"),
    ],
)
def test_sides_that_make_no_pairs_are_refused(client: TestClient, sides: dict[str, Any], sentence: str) -> None:
    status, error = error_of(client, "/v1/score", sides)
    assert status == 400
    assert sentence in error["message"]


async def test_a_query_of_many_pairs_is_counted_once_and_added_for_each() -> None:
    counted: list[str] = []

    async def count(texts: list[str]) -> list[int]:
        counted.extend(texts)
        return [len(text) for text in texts]

    of_api = Services.__new__(Services)
    of_api._reranker = None
    of_api._embedder = SimpleNamespace(count_tokens=SimpleNamespace(remote=count))  # type: ignore[assignment]
    assert await of_api.count_scored_tokens(["query", "a", "query", "bb"]) == 13
    assert counted == ["query", "a", "bb"]
