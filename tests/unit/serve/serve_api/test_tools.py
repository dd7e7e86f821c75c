"""Calls of tools."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from serve_api.fakes import CHAT, WEATHER, Fakes, chunks_of, error_of, post


def test_a_named_function_is_forced_by_a_schema_and_answered_as_a_call(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {"city": "Rome"}}']
    choice = {"type": "function", "function": {"name": "weather"}}
    body = post(client, "/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": choice})["choices"][0]
    assert (body["finish_reason"], body["message"]["content"]) == ("tool_calls", None)
    (call,) = body["message"]["tool_calls"]
    assert (call["type"], call["function"]) == ("function", {"name": "weather", "arguments": '{"city": "Rome"}'})
    assert [tool.name for tool in fakes.calls[0].tools] == ["weather"]
    schema = json.loads(fakes.calls[0].sampling.json_schema or "")
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"name": "weather", "arguments": {"city": "Rome"}})
    assert not validator.is_valid({"name": "weather", "arguments": {}})
    assert not validator.is_valid({"name": "time", "arguments": {"city": "Rome"}})


def test_a_model_may_call_or_answer_when_the_choice_is_its_own(client: TestClient, fakes: Fakes) -> None:
    request = CHAT | {"tools": [WEATHER]}
    fakes.texts = ["sunny", '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>']
    answered, called = (post(client, "/v1/chat/completions", request)["choices"][0] for _ in range(2))
    assert (answered["finish_reason"], answered["message"]["content"]) == ("stop", "sunny")
    assert "tool_calls" not in answered["message"]
    assert called["message"]["tool_calls"][0]["function"]["name"] == "weather"
    assert fakes.calls[0].sampling.json_schema is None
    post(client, "/v1/chat/completions", request | {"tool_choice": "none"})
    assert fakes.calls[-1].tools == ()


CAPITAL = {
    "type": "json_schema",
    "json_schema": {
        "name": "capital",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}


def test_a_typed_answer_and_calls_share_one_grammar(client: TestClient, fakes: Fakes) -> None:
    request = CHAT | {"tools": [WEATHER], "response_format": CAPITAL}
    call = '{"name": "weather", "arguments": {"city": "Rome"}}'
    fakes.texts = ['{"name": "Rome"}', call]
    answered, called = (post(client, "/v1/chat/completions", request)["choices"][0] for _ in range(2))
    assert (answered["finish_reason"], answered["message"]["content"]) == ("stop", '{"name": "Rome"}')
    assert (called["finish_reason"], called["message"]["content"]) == ("tool_calls", None)
    validator = Draft202012Validator(json.loads(fakes.calls[0].sampling.json_schema or ""))
    assert [validator.is_valid(json.loads(text)) for text in [*fakes.texts, "{}"]] == [True, True, False]
    pieces = [chunk["choices"][0]["delta"] for chunk in chunks_of(client, "/v1/chat/completions", request)]
    assert [piece.get("content") for piece in pieces if piece.get("content")] == ['{"name": "R', *'ome"}']
    (streamed,) = [
        piece["tool_calls"][0]
        for chunk in chunks_of(client, "/v1/chat/completions", request)
        if "tool_calls" in (piece := chunk["choices"][0]["delta"])
    ]
    assert streamed["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}


def test_the_choice_decides_between_the_typed_answer_and_a_call(client: TestClient, fakes: Fakes) -> None:
    request = CHAT | {"tools": [WEATHER], "response_format": CAPITAL}
    call = {"name": "weather", "arguments": {"city": "Rome"}}
    fakes.texts = [json.dumps(call)]
    for choice, is_answer, is_call in (("none", True, False), ("required", False, True), ("auto", True, True)):
        post(client, "/v1/chat/completions", request | {"tool_choice": choice})
        validator = Draft202012Validator(json.loads(fakes.calls[-1].sampling.json_schema or ""))
        assert validator.is_valid({"name": "Rome"}) is is_answer
        assert validator.is_valid([call]) is (choice == "auto")
        assert bool(fakes.calls[-1].tools) is is_call


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$id": {}}, "an $id that is no text"),
        ({"$id": "http://["}, "the $id 'http://[', which is no URL"),
        ({"properties": {"a": {"$id": "http://["}}}, "the $id 'http://[', which is no URL"),
        ({"$ref": "#/$defs/a", "allOf": 5}, "an allOf that is no list"),
    ],
)
@pytest.mark.parametrize("is_tools", [True, False])
def test_what_a_schema_cannot_be_is_an_error_of_the_request(
    client: TestClient, schema: dict[str, Any], reason: str, is_tools: bool
) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema if is_tools else {}}}
    answer = {"type": "json_schema", "json_schema": {"name": "a", "schema": {} if is_tools else schema}}
    status, error = error_of(
        client, "/v1/chat/completions", CHAT | {"tools": [WEATHER, tool], "response_format": answer}
    )
    assert status == 400
    assert reason in error["message"]


def test_a_call_streams_as_role_call_and_end(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {"city": "Rome"}}']
    chunks = chunks_of(client, "/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": "required"})
    role, call, end = (chunk["choices"][0] for chunk in chunks)
    assert role["delta"] == {"role": "assistant", "content": ""}
    (delta,) = call["delta"]["tool_calls"]
    assert (delta["index"], delta["function"]["arguments"]) == (0, '{"city": "Rome"}')
    assert [piece["finish_reason"] for piece in (role, call, end)] == [None, None, "tool_calls"]


def test_the_answers_of_tools_go_back_into_the_conversation(client: TestClient, fakes: Fakes) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    post(client, "/v1/chat/completions", {"model": "base", "messages": messages})
    _, assistant, tool = fakes.calls[0].messages or ()
    assert (assistant.tool_calls[0].name, assistant.tool_calls[0].arguments) == ("weather", '{"city": "Rome"}')
    assert (tool.role, tool.tool_call_id, tool.content) == ("tool", "c1", "sunny")
