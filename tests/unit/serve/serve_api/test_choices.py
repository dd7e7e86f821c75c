"""Sampling, several choices, log-probabilities and response formats."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.errors import Overloaded
from serve_api.fakes import CHAT, WEATHER, Fakes, chunks_of, error_of, post


def test_every_field_of_sampling_reaches_the_engine(client: TestClient, fakes: Fakes) -> None:
    fields: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": -0.3,
        "seed": 3,
        "ignore_eos": True,
    }
    more = {"logit_bias": {"5": -100}, "stop": "\n", "max_completion_tokens": 9, "logprobs": True, "top_logprobs": 2}
    post(client, "/v1/chat/completions", CHAT | fields | more)
    sampling = fakes.calls[0].sampling
    assert {name: getattr(sampling, name) for name in fields} == fields
    assert (sampling.logit_bias, sampling.stop) == (((5, -100.0),), ("\n",))
    assert (sampling.max_tokens, sampling.logprobs) == (9, 2)
    post(client, "/v1/completions", {"model": "base", "prompt": "x", "top_k": -1})
    assert (fakes.calls[1].sampling.max_tokens, fakes.calls[1].sampling.top_k) == (16, 0)
    assert fakes.calls[1].sampling.logprobs is None


def test_n_choices_have_seeds_of_their_own_and_count_their_prompt_once(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["a", "bb", "ccc"]
    body = post(client, "/v1/chat/completions", CHAT | {"n": 3, "seed": 7})
    assert [(c["index"], c["message"]["content"]) for c in body["choices"]] == [(0, "a"), (1, "bb"), (2, "ccc")]
    assert [call.sampling.seed for call in fakes.calls] == [7, 8, 9]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (7, 6)
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


def test_n_choices_stream_side_by_side_and_each_ends_once(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["aaa", "bbb"]
    *chunks, usage = chunks_of(
        client, "/v1/chat/completions", CHAT | {"n": 2, "stream_options": {"include_usage": True}}
    )
    pieces = [chunk["choices"][0] for chunk in chunks]
    for index, text in ((0, "aaa"), (1, "bbb")):
        mine = [piece for piece in pieces if piece["index"] == index]
        assert "".join(piece["delta"]["content"] for piece in mine) == text
        assert [piece["finish_reason"] for piece in mine] == [None, None, "stop"]
        assert [piece["delta"].get("role") for piece in mine] == ["assistant", None, None]
    assert [piece["index"] for piece in pieces[:2]] == [0, 1]
    assert ["plait" in chunk for chunk in chunks] == [False] * 5 + [True]
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 6)


def test_one_choice_that_fails_fails_the_answer_and_ends_the_others(client: TestClient, fakes: Fakes) -> None:
    fakes.error = Overloaded("full")
    assert error_of(client, "/v1/chat/completions", CHAT | {"n": 4})[0] == 429
    assert fakes.closed == len(fakes.calls)


def test_several_prompts_are_choices_in_order(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["a", "b", "c", "d"]
    body = post(client, "/v1/completions", {"model": "base", "prompt": ["x", "y"], "n": 2})
    assert [choice["text"] for choice in body["choices"]] == ["a", "b", "c", "d"]
    assert [call.prompt for call in fakes.calls] == ["x", "x", "y", "y"]
    assert body["usage"]["prompt_tokens"] == 14


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("/v1/completions", {"prompt": "x", "max_tokens": 0}, "it needs echo: true or prompt_logprobs"),
        ("/v1/completions", {"prompt": [1, "a"]}, "a text, token ids (from 0), or a list of either"),
        ("/v1/completions", {"prompt": []}, "at least 1 item"),
        ("/v1/chat/completions", {"top_logprobs": 2}, "top_logprobs needs logprobs: true"),
        ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice needs tools"),
        ("/v1/chat/completions", {"stream_options": {"include_usage": True}}, "stream_options needs stream"),
        ("/v1/chat/completions", {"response_format": {"type": "json_schema"}}, "json_schema is required"),
        (
            "/v1/chat/completions",
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "time"}}},
            "names 'time', which is none of the tools",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "tool", "content": "x"}]},
            "tool_call_id is required in a message of the role tool",
        ),
        ("/v1/embeddings", {"input": []}, "at least 1 item"),
        ("/v1/embeddings", {"input": "x", "dimensions": 4}, "makes 3 dimensions, not 4"),
        ("/v1/tokenize", {}, "either prompt or messages is required"),
        ("/v1/embeddings", {"input": "x", "dimension": 4}, "Did you mean 'dimensions'?"),
    ],
)
def test_what_does_not_fit_together_is_a_sentence(
    client: TestClient, path: str, change: dict[str, Any], message: str
) -> None:
    body = (CHAT if "chat" in path else {"model": "base"}) | change
    status, error = error_of(client, path, body)
    assert status == 400
    assert message in error["message"]
    assert error["code"] == "invalid_input"


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/chat/completions", {"top_logprobs": 2}, "top_logprobs"),
        ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice"),
        ("/v1/chat/completions", {"stream_options": {"include_usage": True}}, "stream_options"),
        ("/v1/chat/completions", {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ("/v1/chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        ("/v1/chat/completions", {"retrieval": {"top_k": 2}}, "retrieval"),
        ("/v1/embeddings", {"input": "x", "dimensions": 4}, "dimensions"),
        ("/v1/tokenize", {}, "prompt"),
        ("/v1/vector_stores/docs/search", {"query": "x", "filters": {"type": "in", "key": "a", "value": 1}}, "filters"),
    ],
)
def test_what_does_not_fit_together_names_the_field(
    client: TestClient, path: str, change: dict[str, Any], param: str
) -> None:
    body = {} if "search" in path else CHAT if "chat" in path else {"model": "base"}
    status, error = error_of(client, path, body | change)
    assert status == 400
    assert str(error["param"]).startswith(param)


def test_log_probabilities_come_in_the_shape_of_chat(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["aé"]
    body = CHAT | {"logprobs": True, "top_logprobs": 2}
    tokens = post(client, "/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]
    assert [(t["token"], t["logprob"], t["bytes"]) for t in tokens] == [
        ("a", -0.25, [97]),
        ("\ufffd", -0.25, [195]),  # each its own byte of one character
        ("\ufffd", -0.25, [169]),
    ]
    assert [t["token"] for t in tokens[0]["top_logprobs"]] == ["x", "y"]
    streamed = [chunk["choices"][0]["logprobs"]["content"] for chunk in chunks_of(client, "/v1/chat/completions", body)]
    assert [t for piece in streamed for t in piece] == tokens
    assert post(client, "/v1/chat/completions", CHAT)["choices"][0]["logprobs"] is None


def test_log_probabilities_come_in_the_shape_of_completions(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["aéb"]
    body: dict[str, Any] = {"model": "base", "prompt": "x", "logprobs": 1}
    logprobs = post(client, "/v1/completions", body)["choices"][0]["logprobs"]
    assert logprobs == {
        "tokens": ["a", "\ufffd", "\ufffd", "b"],
        "token_logprobs": [-0.25] * 4,
        "top_logprobs": [{"x": -0.5, token: -0.25} for token in ("a", "\ufffd", "\ufffd", "b")],
        "text_offset": [0, 1, 1, 2],
    }
    streamed = [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks_of(client, "/v1/completions", body)]
    assert streamed == [[0], [1, 1], [2]]


def test_a_response_format_becomes_a_schema_for_the_engine(client: TestClient, fakes: Fakes) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    formats: list[dict[str, Any]] = [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}},
    ]
    for response_format in formats:
        post(client, "/v1/chat/completions", CHAT | {"response_format": response_format})
    assert [json.loads(call.sampling.json_schema or "null") for call in fakes.calls] == [
        None,
        {"type": "object"},
        schema,
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"logit_bias": {str(token): 1 for token in range(301)}}, "at most 300"),
        ({"messages": [{"role": "user", "content": "a"}] * 4097}, "at most 4096"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2049}] * 2}, "4098 parts"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}] * 5000}]}, "5000 parts and tool calls"),
        ({"tools": [WEATHER] * 129}, "at most 128"),
    ],
)
def test_more_of_a_kind_than_anybody_needs_is_refused(client: TestClient, fields: dict[str, Any], reason: str) -> None:
    status, error = error_of(client, "/v1/chat/completions", CHAT | fields)
    assert (status, reason in error["message"]) == (400, True)
