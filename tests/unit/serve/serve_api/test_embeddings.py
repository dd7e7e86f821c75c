"""Embeddings, reranking and tokens."""

import base64
import struct
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.errors import NotFound
from plait.models.long_texts import LongTexts
from plait.serve.api.services import Services
from plait.serve.messages.arguments import AppArguments, EmbeddingArguments
from serve_api.fakes import CHAT, Fakes, error_of, post


def test_embeddings_come_as_numbers_or_as_base64_of_the_same(client: TestClient) -> None:
    numbers = post(client, "/v1/embeddings", {"model": "embedding", "input": ["ab", "c"]})
    assert numbers["data"][1]["embedding"] == pytest.approx([0.6, 0, 0.8])
    assert numbers["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    body = {"model": "embedding", "input": "ab", "encoding_format": "base64"}
    (item,) = post(client, "/v1/embeddings", body)["data"]
    assert list(struct.unpack("<3f", base64.b64decode(item["embedding"]))) == numbers["data"][0]["embedding"]


def test_fewer_dimensions_have_unit_length_again(client: TestClient) -> None:
    body = post(client, "/v1/embeddings", {"model": "embedding", "input": "x", "dimensions": 2})
    assert body["data"][0]["embedding"] == pytest.approx([1, 0])


@pytest.mark.parametrize(
    ("fields", "long_texts"),
    [
        ({}, LongTexts("refuse")),
        ({"truncation_side": "left"}, LongTexts("refuse", keeps_end=True)),
        ({"truncate": "START", "truncation_side": "left"}, LongTexts("cut", keeps_end=True)),
        ({"truncate_prompt_tokens": -1}, LongTexts("cut")),
        ({"truncate_prompt_tokens": 64}, LongTexts("cut", 64)),
        ({"truncate_prompt_tokens": 64, "truncation_side": "left"}, LongTexts("cut", 64, keeps_end=True)),
        ({"truncate": "NONE"}, LongTexts("refuse")),
        ({"truncate": "END"}, LongTexts("cut")),
        ({"truncate": "START"}, LongTexts("cut", keeps_end=True)),
        ({"truncate": False}, LongTexts("refuse")),
        ({"truncate": True}, LongTexts("cut")),
        ({"truncate": True, "truncation_direction": "Left"}, LongTexts("cut", keeps_end=True)),
        ({"long_texts": "mean"}, LongTexts("mean")),
    ],
)
def test_what_becomes_of_long_texts_is_said_in_the_words_of_vllm_cohere_and_tei(
    client: TestClient, fakes: Fakes, fields: dict[str, Any], long_texts: LongTexts
) -> None:
    post(client, "/v1/embeddings", {"model": "embedding", "input": "x"} | fields)
    assert fakes.embedded == [(["x"], long_texts)]


def test_the_side_goes_with_what_the_server_does(client: TestClient, fakes: Fakes) -> None:
    fakes.arguments = AppArguments(embedding=EmbeddingArguments(long_texts="cut"))
    for fields in ({}, {"truncation_side": "left"}, {"truncate": "NONE"}):
        post(client, "/v1/embeddings", {"model": "embedding", "input": "x"} | fields)
    assert [asked for _, asked in fakes.embedded] == [
        LongTexts("cut"),
        LongTexts("cut", keeps_end=True),
        LongTexts("refuse"),
    ]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"truncate": "END", "truncation_side": "left"}, "truncate and truncation_side name different ends"),
        ({"truncate": "START", "truncation_direction": "Right"}, "truncate and truncation_direction name different"),
        ({"truncation_side": "left", "truncation_direction": "right"}, "truncation_side and truncation_direction name"),
        ({"long_texts": "mean", "truncation_side": "left"}, "truncation_side says where a text is cut"),
    ],
)
def test_a_side_that_contradicts_the_rest_is_refused(client: TestClient, fields: dict[str, Any], sentence: str) -> None:
    status, error = error_of(client, "/v1/embeddings", {"model": "embedding", "input": "x"} | fields)
    assert status == 400
    assert sentence in error["message"]


def test_two_wishes_about_long_texts_exclude_each_other(client: TestClient) -> None:
    body = {"model": "embedding", "input": "x", "truncate": "END", "long_texts": "mean"}
    status, error = error_of(client, "/v1/embeddings", body)
    assert (status, error["param"]) == (400, "long_texts")
    assert "truncate and long_texts exclude each other" in error["message"]


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("x", ["x"]), (["x", "y"], ["x", "y"]), ([5, 6], [(5, 6)]), ([[5, 6], [7]], [(5, 6), (7,)])],
)
def test_input_is_a_text_or_several_or_their_tokens(
    client: TestClient, fakes: Fakes, given: Any, inputs: list[Any]
) -> None:
    answer = post(client, "/v1/embeddings", {"model": "embedding", "input": given})
    assert [made for made, _ in fakes.embedded] == [inputs]
    assert len(answer["data"]) == len(inputs)


@pytest.mark.parametrize("given", [[], [[]], ["x", 5], [5, [6]], [-1], {"text": "x"}])
def test_other_input_is_refused_by_name(client: TestClient, given: Any) -> None:
    status, error = error_of(client, "/v1/embeddings", {"model": "embedding", "input": given})
    assert status == 400
    assert error["param"].startswith("input")


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_rerank_orders_documents_of_both_forms(client: TestClient, path: str) -> None:
    body: dict[str, Any] = {"model": "reranker", "query": "a", "documents": ["b", {"text": "aaa"}, "a"]}
    results = post(client, path, body)["results"]
    assert results == [
        {"index": 1, "relevance_score": 0.3},
        {"index": 2, "relevance_score": 0.1},
        {"index": 0, "relevance_score": 0.0},
    ]
    (best,) = post(client, path, body | {"top_n": 1, "return_documents": True})["results"]
    assert best == {"index": 1, "relevance_score": 0.3, "document": {"text": "aaa"}}


def test_tokens_of_prompts_and_conversations_and_back(client: TestClient) -> None:
    assert post(client, "/v1/tokenize", {"prompt": "ab"}) == {"count": 3, "max_model_len": 512, "tokens": [2, 97, 98]}
    assert post(client, "/v1/tokenize", {"prompt": "ab", "add_special_tokens": False})["tokens"] == [97, 98]
    assert post(client, "/v1/tokenize", {"messages": CHAT["messages"]})["count"] == 3
    assert post(client, "/v1/detokenize", {"tokens": [97, 98]}) == {"prompt": "ab"}


def test_what_is_not_served_says_how_to_serve_it() -> None:
    with pytest.raises(NotFound, match=r"no embedding model\. Serve one: set embedding.model"):
        Services._there(None, "embedding")
