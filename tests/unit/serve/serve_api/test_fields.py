"""Which fields a request may have: null is the same as none, and each of OpenAI's is supported, ignored or refused."""

import re
from pathlib import Path
from typing import Any

import pytest
from described import description, validator
from fastapi.testclient import TestClient
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from plait.retrieval.request import Retrieval
from plait.serve.api import ignored_fields
from plait.serve.api.completion_requests import CompletionRequest
from plait.serve.api.embeddings import EmbeddingRequest
from plait.serve.api.generation_requests import ChatCompletionRequest
from plait.serve.api.rag import RetrieveRequest
from plait.serve.api.request_body import RequestBody
from plait.serve.api.responses.requests import ResponseRequest
from serve_api.fakes import CHAT, WEATHER, Fakes, error_of, post
from serve_api.test_description import REQUESTS

COMPLETION = {"model": "base", "prompt": "x"}
RERANK: dict[str, Any] = {"model": "reranker", "query": "a", "documents": ["a" * 40, "b"]}


def required(document: dict[str, Any], path: str) -> tuple[dict[str, Any], list[str]]:
    """The schema of a route's body, and the fields that it must have."""
    name = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][name.rpartition("/")[2]]
    return schema, schema.get("required", [])


def without_what_differs(answer: Any) -> Any:
    """An answer without ids, and without what took how long and when."""
    if isinstance(answer, list):
        return [without_what_differs(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    ours = ("id", "call_id", "created", "created_at", "completed_at", "plait", "timings_ms")
    return {key: without_what_differs(value) for key, value in answer.items() if key not in ours}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return description()


@pytest.mark.parametrize(("path", "body"), [(path, body) for _, path, body in REQUESTS if body is not None])
def test_null_is_the_same_as_leaving_a_field_out(
    client: TestClient, document: dict[str, Any], path: str, body: dict[str, Any]
) -> None:
    schema, must = required(document, path)
    body = {
        name: value for name, value in body.items() if name in must or name in ("prompt", "model", "text_1", "text_2")
    }
    nulls = {name: None for name in schema["properties"] if name not in body and name not in must}
    assert nulls
    validator(document, schema).validate(body | nulls)
    url = path.format(store_id="docs")
    bare, given = (post(client, url, sent) for sent in (body, body | nulls))
    assert without_what_differs(given) == without_what_differs(bare)


def test_null_is_the_same_as_leaving_a_field_out_in_every_part_of_a_request(client: TestClient, fakes: Fakes) -> None:
    message = {"role": "assistant", "content": "x", "name": None, "tool_calls": None, "tool_call_id": None}
    tool = {"type": "function", "function": WEATHER["function"] | {"description": None, "strict": None}}
    parts: list[dict[str, Any]] = [
        {"messages": [message]},
        {"tools": [tool]},
        {"response_format": {"type": "text", "json_schema": None}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": None, "name": None}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "any", "schema": None}}},
        {"stream": True, "stream_options": {"include_usage": None}},
    ]
    for part in parts:
        response = client.post("/v1/chat/completions", json=CHAT | part)
        assert response.status_code == 200, response.text
    body = {"query": "x", "ranking_options": {"ranker": None, "score_threshold": None}}
    post(client, "/v1/vector_stores/docs/search", body)


def test_in_retrieval_null_turns_off_what_has_a_null_and_is_the_servers_elsewhere() -> None:
    asked = RetrieveRequest.model_validate({"query": "x", "top_k": None, "mode": None, "min_score": None})
    assert asked.over(Retrieval(top_k=7, mode="bm25", min_score=0.4)) == Retrieval(top_k=7, mode="bm25")


def test_what_a_field_must_have_cannot_be_null(client: TestClient) -> None:
    status, error = error_of(client, "/v1/chat/completions", CHAT | {"messages": None})
    assert (status, error["param"]) == (400, "messages")


def test_fields_that_change_nothing_are_ignored(client: TestClient, fakes: Fakes) -> None:
    fields: dict[str, Any] = {
        "metadata": {"run": "7"},
        "store": True,
        "service_tier": "flex",
        "safety_identifier": "u",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "reasoning_effort": "low",
        "verbosity": "high",
        "modalities": ["text"],
        "prediction": {"type": "content", "content": "x"},
        "best_of": 1,
        "priority": 3,
        "user": "u",
        "skip_special_tokens": True,
        "spaces_between_special_tokens": True,
        "include_stop_str_in_output": False,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "min_tokens": 0,
        "length_penalty": 1.0,
        "use_beam_search": False,
        "stop_token_ids": [],
        "detokenize": True,
        "echo": False,
        "logprobs": False,
        "top_logprobs": 0,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "chat_template_kwargs": {},
        "stream_options": {"include_obfuscation": False},
    }
    post(client, "/v1/chat/completions", CHAT)
    client.post("/v1/chat/completions", json=CHAT | fields | {"stream": True}).raise_for_status()
    bare, given = fakes.calls
    assert (given.sampling, given.messages, given.tools) == (bare.sampling, bare.messages, bare.tools)
    post(client, "/v1/completions", COMPLETION | {"suffix": "", "echo": False, "best_of": 1, "metadata": {}})
    post(client, "/v1/embeddings", {"model": "embedding", "input": "x", "user": "u", "embed_dtype": "float32"})
    post(client, "/v2/rerank", RERANK | {"priority": 1, "max_tokens_per_doc": 40, "rank_fields": []})
    post(client, "/v2/rerank", RERANK | {"max_tokens_per_doc": 4096})
    post(client, "/v1/tokenize", {"prompt": "x", "return_token_strs": False})


@pytest.mark.parametrize(
    ("path", "change", "sentence"),
    [
        ("/v1/completions", {"best_of": 2}, "only 1 is supported"),
        ("/v1/completions", {"suffix": "x"}, "text is only continued"),
        ("/v1/chat/completions", {"echo": True}, "/v1/completions echoes a prompt"),
        ("/v1/completions", {"add_special_tokens": False}, "a prompt begins as the model's texts begin"),
        ("/v1/completions", {"length_penalty": 0.5}, "beam search"),
        ("/v1/chat/completions", {"modalities": ["text", "audio"]}, "answers are text"),
        ("/v1/chat/completions", {"return_token_ids": True}, "return_tokens_as_token_ids"),
        ("/v1/chat/completions", {"guided_whitespace_pattern": " "}, "without spaces"),
        ("/v1/chat/completions", {"chat_template": "{{ messages }}"}, "the template is the model's"),
        ("/v1/chat/completions", {"functions": [{"name": "f"}]}, "use tools"),
        ("/v1/chat/completions", {"web_search_options": {}}, "rag/"),
        ("/v1/tokenize", {"return_token_strs": True}, "detokenize"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(
    client: TestClient, path: str, change: dict[str, Any], sentence: str
) -> None:
    body = {"/v1/completions": COMPLETION, "/v1/chat/completions": CHAT, "/v1/tokenize": {"prompt": "x"}}
    status, error = error_of(client, path, body.get(path, {"model": "embedding", "input": "x"}) | change)
    (name,) = change
    assert (status, error["param"], error["code"]) == (400, name, "invalid_input")
    assert f"'{name}'" in error["message"]
    assert sentence in error["message"]


def test_a_document_that_would_be_cut_is_named(client: TestClient) -> None:
    status, error = error_of(client, "/v2/rerank", RERANK | {"max_tokens_per_doc": 8})
    assert status == 400
    assert "max_tokens_per_doc=8 would cut document 0, which has 40 tokens" in error["message"]


@pytest.mark.parametrize(
    ("params", "ours"),
    [
        (chat_create_params.CompletionCreateParamsBase, ChatCompletionRequest),
        (chat_create_params.CompletionCreateParamsStreaming, ChatCompletionRequest),
        (completion_create_params.CompletionCreateParamsBase, CompletionRequest),
        (completion_create_params.CompletionCreateParamsStreaming, CompletionRequest),
        (response_create_params.ResponseCreateParamsBase, ResponseRequest),
        (response_create_params.ResponseCreateParamsStreaming, ResponseRequest),
        (embedding_create_params.EmbeddingCreateParams, EmbeddingRequest),
    ],
)
def test_every_field_of_openais_client_is_supported_ignored_or_refused(params: type, ours: type[RequestBody]) -> None:
    assert params.__annotations__.keys() <= ours.model_fields.keys()


def test_the_documentation_lists_every_field_that_is_ignored_or_of_which_one_value_is_accepted() -> None:
    page = (Path(__file__).parents[4] / "docs/serve.md").read_text()
    section = page.partition("### Fields of other servers")[2].partition("\n### ")[0]
    listed = set(re.findall(r"`([a-z_]+)", section))
    classes = [kind for kind in vars(ignored_fields).values() if isinstance(kind, type) and kind is not RequestBody]
    fields = {name for kind in classes if issubclass(kind, RequestBody) for name in kind.model_fields}
    assert fields <= listed
