"""Embeddings, reranking and tokens."""

import base64
import struct
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.errors import NotFound
from plait.serve.api.services import Services
from serve_api.fakes import CHAT, post


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
