"""Anthropic's /v1/messages: its shapes, its events, its errors."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from described import strict_description, validator
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from plait.errors import ModelNotFound, Overloaded
from plait.models.message import Message, ToolCall
from plait.serve.messages.calls import Call, Event
from serve_api.fakes import PASSAGE, Fakes, post

PATH = "/v1/messages"
ASK: dict[str, Any] = {"model": "base", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
WEATHER = {
    "name": "weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
RESULT = {"type": "tool_result", "tool_use_id": "x"}
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'


def events_of(client: TestClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, each of which follows the description."""
    response = client.post(PATH, json=body | {"stream": True})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    pieces = [piece.split("\n") for piece in response.text.split("\n\n") if piece]
    events = [json.loads(data.removeprefix("data: ")) for _, data in pieces]
    assert [name for name, _ in pieces] == [f"event: {event['type']}" for event in events]
    document = strict_description()
    content = document["paths"][PATH]["post"]["responses"]["200"]["content"]
    follows = validator(document, content["text/event-stream"]["x-event-schema"])
    for event in events:
        if event["type"] != "error":
            follows.validate(event)
    return events


def refused(client: TestClient, change: dict[str, Any], path: str = PATH) -> tuple[int, dict[str, Any]]:
    response = client.post(path, json=ASK | change)
    body = response.json()
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["error"]


def test_a_text_is_a_message_of_one_block(client: TestClient, fakes: Fakes) -> None:
    body = post(client, PATH, ASK, **{"X-Request-Id": "a"})
    assert (body["id"], body["type"], body["role"], body["model"]) == ("msg_a", "message", "assistant", "base")
    assert body["content"] == [{"type": "text", "text": "hello", "citations": None}]
    assert (body["stop_reason"], body["stop_sequence"]) == ("end_turn", None)
    assert body["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
    }
    assert (body["plait"]["route"]["kind"], body["plait"]["route"]["arm"]) == ("direct", "base")
    (call,) = fakes.calls
    assert (call.messages, call.sampling.max_tokens, call.sampling.temperature) == ((Message("user", "hi"),), 9, 1.0)


def test_fields_of_anthropics_are_read_or_ignored(client: TestClient, fakes: Fakes) -> None:
    read = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["\n\n", "END"]}
    ignored = {
        "metadata": {"user_id": "u"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "service_tier": "auto",
        "cache_control": {"type": "ephemeral"},
        "output_config": {"effort": "low"},
        "context_management": {"edits": []},
        "mcp_servers": [],
    }
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "interleaved-thinking-2025-05-14"}
    response = client.post(f"{PATH}?beta=true", json=ASK | read | ignored, headers=headers)
    assert response.status_code == 200, response.text
    sampling = fakes.calls[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.stop) == (0.5, 0.9, 5, ("\n\n", "END"))
    assert sampling.json_schema is None


def test_a_conversation_becomes_messages_in_order(client: TestClient, fakes: Fakes) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    post(
        client,
        PATH,
        ASK
        | {
            "system": [{"type": "text", "text": "Be short."} | cached, {"type": "text", "text": "Be kind."}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "How is "}, {"type": "text", "text": "Rome?"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "x"},
                        {"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
                        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"} | cached,
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_2",
                            "content": [{"type": "text", "text": "no city"}],
                            "is_error": True,
                        },
                        {"type": "text", "text": "And now?"},
                    ],
                },
                {"role": "system", "content": "Answer in French."},
            ],
        },
    )
    assert fakes.calls[0].messages == (
        Message("system", "Be short.\n\nBe kind."),
        Message("user", "How is Rome?"),
        Message(
            "assistant",
            "I look.",
            (ToolCall("toolu_1", "weather", '{"city": "Rome"}'), ToolCall("toolu_2", "weather", "{}")),
        ),
        Message("tool", "sunny", tool_call_id="toolu_1"),
        Message("tool", "Error: no city", tool_call_id="toolu_2"),
        Message("user", "And now?"),
        Message("system", "Answer in French."),
    )


def test_a_call_is_a_block_after_the_text_before_it(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = [f"I look.\n```json\n{CALL}\n```"]
    body = post(client, PATH, ASK | {"tools": [WEATHER]})
    text, call = body["content"]
    assert (text["text"], body["stop_reason"]) == ("I look.", "tool_use")
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "weather", {"city": "Rome"})
    assert call["id"].startswith("toolu_")


@pytest.mark.parametrize(
    ("choice", "is_call", "is_text"),
    [
        ({"type": "auto"}, True, True),
        ({"type": "any"}, True, False),
        ({"type": "tool", "name": "weather"}, True, False),
        ({"type": "none"}, False, True),
    ],
)
def test_the_choice_says_whether_a_tool_is_called(
    client: TestClient, fakes: Fakes, choice: dict[str, Any], is_call: bool, is_text: bool
) -> None:
    fakes.texts = [CALL]
    body = post(client, PATH, ASK | {"tools": [WEATHER], "tool_choice": choice})
    assert (body["content"][0]["type"] == "tool_use") is is_call
    assert (fakes.calls[0].sampling.json_schema is None) is is_text
    assert bool(fakes.calls[0].tools) is is_call


def test_an_output_format_is_a_schema_beside_the_calls(client: TestClient, fakes: Fakes) -> None:
    answer = {"type": "json_schema", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    two = {"type": "auto", "disable_parallel_tool_use": True}
    post(client, PATH, ASK | {"tools": [WEATHER], "tool_choice": two, "output_config": {"format": answer}})
    follows = Draft202012Validator(json.loads(fakes.calls[0].sampling.json_schema or ""))
    good, bad = [{"n": 1}, json.loads(CALL)], [{"n": "x"}, [json.loads(CALL)]]
    assert [follows.is_valid(value) for value in good + bad] == [True, True, False, False]


def test_a_call_that_max_tokens_cuts_off_has_the_input_so_far(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = [CALL[:-4]]
    body = post(client, PATH, ASK | {"tools": [WEATHER], "tool_choice": {"type": "any"}})
    assert body["content"][0]["input"] == {"city": "Rom"}


def test_an_answer_goes_on_with_what_the_assistant_began(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = [" Rome."]
    begun = [*ASK["messages"], {"role": "assistant", "content": [{"type": "text", "text": "It is"}]}]
    assert post(client, PATH, ASK | {"messages": begun})["content"][0]["text"] == " Rome."
    (call,) = fakes.calls
    assert (call.continue_final_message, call.add_generation_prompt, call.fits_answer) == (True, False, True)


def test_the_stop_sequence_that_was_met_is_named(
    client: TestClient, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stops(call: Call) -> AsyncGenerator[Event]:
        yield Event("a", 1, 1, "stop", stop_string="END")

    monkeypatch.setattr(fakes, "answer", stops)
    whole = post(client, PATH, ASK | {"stop_sequences": ["END"]})
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", "END")
    delta = events_of(client, ASK | {"stop_sequences": ["END"]})[-2]["delta"]
    assert delta == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    by_the_format = post(client, PATH, ASK)
    assert (by_the_format["stop_reason"], by_the_format["stop_sequence"]) == ("end_turn", None)


def test_a_text_streams_as_typed_events(client: TestClient, fakes: Fakes) -> None:
    start, ping, begin, *deltas, stop, delta, end = events_of(client, ASK)
    assert start["message"] | {"id": "", "plait": None} == {
        "id": "",
        "type": "message",
        "role": "assistant",
        "model": "base",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 1,
        },
        "plait": None,
    }
    assert ping == {"type": "ping"}
    assert (begin["index"], begin["content_block"]["text"], stop["index"]) == (0, "", 0)
    assert "".join(d["delta"]["text"] for d in deltas) == "hello"
    assert (delta["delta"], delta["usage"]["output_tokens"]) == ({"stop_reason": "end_turn", "stop_sequence": None}, 5)
    assert (delta["plait"]["route"]["kind"], end) == ("direct", {"type": "message_stop"})
    assert fakes.calls[0].is_streamed


def test_calls_stream_as_blocks_of_their_own(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = [f"I look.\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>"]
    events = events_of(client, ASK | {"tools": [WEATHER]})
    begun = [event for event in events if event["type"] == "content_block_start"]
    assert [(b["index"], b["content_block"]["type"]) for b in begun] == [(0, "text"), (1, "tool_use"), (2, "tool_use")]
    assert begun[1]["content_block"]["input"] == {}
    given = [e["delta"] for e in events if e.get("delta", {}).get("type") == "input_json_delta"]
    assert [json.loads(delta["partial_json"]) for delta in given] == [{"city": "Rome"}] * 2
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    # Blocks do not overlap.
    indices = [event["index"] for event in events if "index" in event]
    assert all(second - first in (0, 1) for first, second in pairwise(indices))
    fakes.texts = [CALL]
    only = events_of(client, ASK | {"tools": [WEATHER], "tool_choice": {"type": "any"}})
    assert [e["content_block"]["type"] for e in only if e["type"] == "content_block_start"] == ["tool_use"]


def test_a_rag_model_cites_the_words_of_its_passages(
    client: TestClient, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    passage = replace(PASSAGE, text="The installed version of ray is 2.60.0.", start=0, end=39)
    monkeypatch.setattr("serve_api.fakes.PASSAGE", passage)
    fakes.texts = ["Well: version of ray is 2.60.0, I think."]
    ask = ASK | {"model": "rag/base", "retrieval": {"top_k": 2}}
    (block,) = post(client, PATH, ask)["content"]
    cited = {
        "type": "char_location",
        "cited_text": "version of ray is 2.60.0",
        "document_index": 0,
        "document_title": "ray",
        "start_char_index": 14,
        "end_char_index": 38,
        "file_id": None,
    }
    assert block["citations"] == [cited]
    streamed = [e["delta"]["citation"] for e in events_of(client, ask) if "citation" in e.get("delta", {})]
    assert streamed == [cited]
    assert fakes.calls[0].retrieval is not None
    assert fakes.calls[0].retrieval.top_k == 2


def test_an_error_after_the_first_token_is_an_event(
    client: TestClient, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(call: Call) -> AsyncGenerator[Event]:
        yield Event("a", 1, 1)
        raise Overloaded("full")

    monkeypatch.setattr(fakes, "answer", breaks)
    *_, delta, error = events_of(client, ASK)
    assert (delta["delta"]["text"], error["type"], error["error"]["type"]) == ("a", "error", "rate_limit_error")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "say in words what"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "reads no documents; send its text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "mcp_tool_use"}]}]},
            "'mcp_tool_use' is not supported; send text or",
        ),
        (
            {"messages": [{"role": "user", "content": [RESULT | {"content": [{"type": "image"}]}]}]},
            "the model reads no images",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]}]},
            "tool_use blocks are an assistant's",
        ),
        ({"messages": [*ASK["messages"], {"role": "assistant", "content": ""}]}, "it has text and no calls"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "'web_search_20250305' is a tool of Anth"),
        ({"tool_choice": {"type": "any"}}, "tool_choice needs tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "time"}}, "which is none of the tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "name is required"),
        ({"mcp_servers": [{"url": "https://x"}]}, "no servers are asked here"),
        ({"retrieval": {"top_k": 2}}, "does not retrieve"),
        ({"messages": ASK["messages"] * 4096}, "have 4096 blocks, at most 4095"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 4096}]}, "have 4096 blocks"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "content.0.type' is required"),
        ({"max_tokens": None}, "'max_tokens' must be a whole number"),
        ({"max_token": 4}, "Did you mean 'max_tokens'?"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence_in_anthropics_shape(
    client: TestClient, change: dict[str, Any], message: str
) -> None:
    status, error = refused(client, change)
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "invalid_input")
    assert message in error["message"]


def test_every_error_of_the_routes_is_in_anthropics_shape(client: TestClient, fakes: Fakes) -> None:
    fakes.error = ModelNotFound("There is no 'x'.")
    status, error = refused(client, {})
    assert (status, error["type"], error["code"]) == (404, "not_found_error", "model_not_found")
    fakes.error = Overloaded("full")
    assert [e["type"] for _, e in (refused(client, {}), refused(client, {"stream": True}))] == ["rate_limit_error"] * 2
    assert refused(client, {}, f"{PATH}/batches")[1]["type"] == "not_found_error"
    too_large = client.post(PATH, content=b"x" * (5 << 20), headers={"content-type": "application/json"})
    assert (too_large.status_code, too_large.json()["error"]["type"]) == (413, "request_too_large")
    wrong = client.get(PATH).json()
    assert (wrong["type"], wrong["error"]["message"]) == ("error", f"{PATH} takes POST, not GET.")
    kept = refused(client, {"thread": {"type": "create"}})[1]
    assert (kept["param"], kept["details"]) == ("thread", {"error_code": "thread_unsupported_request"})
    elsewhere = client.post("/v1/chat/completions", json={}).json()
    assert elsewhere.keys() == {"error"}
    assert elsewhere["error"]["type"] == "invalid_request_error"


def test_tokens_are_counted_as_they_would_be_read(client: TestClient) -> None:
    body = {"model": "base", "messages": ASK["messages"], "tools": [WEATHER], "thinking": {"type": "adaptive"}}
    assert post(client, f"{PATH}/count_tokens", body) == {"input_tokens": 3}
    assert refused(client, {"max_tokens": 9}, f"{PATH}/count_tokens")[1]["param"] == "max_tokens"
