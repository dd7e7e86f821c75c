"""The OpenAPI description is true: real answers follow it, and every route is tried."""

from typing import Any

import pytest
from described import strict_description, validator
from fastapi.testclient import TestClient

from serve_api.every_route import stored_response
from serve_api.fakes import CHAT, WEATHER, YOUNG, Fakes, chunks_of

pytestmark = pytest.mark.no_cover  # other tests make the same requests; half of the time would be coverage's
FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
SEARCH = {"type": "file_search", "vector_store_ids": ["docs"], "filters": YOUNG}
RESULTS = ["file_search_call.results"]
REQUESTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("get", "/healthz", None),
    ("get", "/readyz", None),
    ("get", "/version", None),
    ("get", "/v1/models", None),
    ("get", "/v1/models/{model_id}", None),
    ("post", "/v1/chat/completions", CHAT | {"logprobs": True, "top_logprobs": 1, "n": 2}),
    ("post", "/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": "required"}),
    ("post", "/v1/completions", {"model": "base", "prompt": ["x", "y"], "logprobs": 1}),
    ("post", "/v1/completions", {"model": "base", "prompt": [[97], [98, 99]], "logprobs": 1, "echo": True}),
    ("post", "/v1/completions", {"model": "base", "prompt": "xy", "prompt_logprobs": 1, "guided_choice": ["a"]}),
    ("post", "/v1/chat/completions", CHAT | {"prompt_logprobs": 0, "structured_outputs": {"json": {}}}),
    ("post", "/v1/responses", {"model": "base", "input": "x", "tools": [FUNCTION], "tool_choice": "required"}),
    ("post", "/v1/responses", {"model": "base", "input": "x", "tools": [SEARCH], "include": RESULTS}),
    ("post", "/v1/responses", {"model": "rag/base", "input": [{"role": "user", "content": "x"}]}),
    ("get", "/v1/responses/{response_id}", None),
    ("get", "/v1/responses/{response_id}/input_items", None),
    ("post", "/v1/responses/{response_id}/cancel", None),
    ("delete", "/v1/responses/{response_id}", None),
    ("post", "/v1/messages", CHAT | {"max_tokens": 9, "model": "rag/base", "retrieval": {"top_k": 2}}),
    ("post", "/v1/messages/count_tokens", CHAT),
    ("post", "/v1/chat/completions", CHAT | {"model": "rag/base", "retrieval": {"mode": "hybrid", "mmr": 0.5}}),
    ("post", "/v1/retrieve", {"query": "x", "filter": "position > 2", "expand": 1}),
    ("post", "/v1/rag/query", {"query": "x", "model": "support", "retrieval": {"top_k": 2}}),
    ("get", "/v1/vector_stores", None),
    ("get", "/v1/vector_stores/{store_id}", None),
    ("post", "/v1/vector_stores/{store_id}/search", {"query": ["x"], "filters": YOUNG}),
    ("get", "/v1/vector_stores/{store_id}/passages/{passage_id}", None),
    ("post", "/v1/embeddings", {"model": "embedding", "input": "x"}),
    ("post", "/v1/embeddings", {"model": "embedding", "input": "x", "encoding_format": "base64"}),
    ("post", "/v1/rerank", {"model": "reranker", "query": "a", "documents": ["a"], "return_documents": True}),
    ("post", "/v2/rerank", {"model": "reranker", "query": "a", "documents": ["a"]}),
    ("post", "/v1/score", {"text_1": "a", "text_2": ["a", "b"]}),
    ("post", "/v1/tokenize", {"prompt": "ab"}),
    ("post", "/v1/detokenize", {"tokens": [97]}),
    ("get", "/v1/tokenizer_info", None),
    ("post", "/v1/feedback", {"request_id": "job-7", "rating": 0.5, "correction": "x"}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_real_answers_follow_the_description(
    client: TestClient, fakes: Fakes, method: str, path: str, body: dict[str, Any] | None
) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {}}']
    document = strict_description()
    operation = document["paths"][path][method]
    ids = {"model_id": "support", "store_id": "docs", "passage_id": "c1", "response_id": stored_response()}
    response = client.request(method, path.format(**ids), json=body)
    assert response.status_code == 200, response.text
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    validator(document, schema).validate(response.json())
    if body is not None:
        asked = operation["requestBody"]["content"]["application/json"]["schema"]
        validator(document, asked).validate(body)
        for change, headers in (({"no_such_field": 1}, {}), ({"model": "no such name"}, {})):
            refused = client.request(method, path.format(store_id="docs"), json=body | change, headers=headers)
            described = operation["responses"].get(str(refused.status_code))
            if refused.status_code != 200:
                validator(document, described["content"]["application/json"]["schema"]).validate(refused.json())
        assert "422" not in operation["responses"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT | {"logprobs": True, "n": 2, "stream_options": {"include_usage": True}}),
        ("/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": "required"}),
        ("/v1/completions", {"model": "base", "prompt": "x", "logprobs": 1, "stream_options": {"include_usage": True}}),
    ],
)
def test_events_of_streams_follow_the_description(
    client: TestClient, fakes: Fakes, path: str, body: dict[str, Any]
) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {}}']
    document = strict_description()
    stream = document["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]
    for chunk in chunks_of(client, path, body):
        validator(document, stream["x-event-schema"]).validate(chunk)


def test_every_route_is_tried_against_the_description(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    described = {
        (method, path.replace(":path", ""))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if not {"adapters", "files", "jobs", "lineage"} & set(operation["tags"])  # they have tests of their own
    }
    empty = {("get", "/health")}
    assert described == {(method, path) for method, path, _ in REQUESTS} | empty


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("TRACE", "/healthz", "GET"),
        ("PUT", "/v1/files", "GET, POST"),
        ("PATCH", "/v1/files/file-1", "DELETE, GET"),
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models/rag/base", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_405_with_those_that_it_takes(
    client: TestClient, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["error"]["message"] == f"{path} takes {allowed}, not {method}."
