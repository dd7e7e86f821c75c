"""Turns as people write them: roles, content parts, tool calls, reasoning; what cannot be kept is named."""

from typing import Any

import pytest

from plait.documents.row_files import BadRow
from plait.jobs.train.turns import parse_tools, parse_turns
from plait.models.message import Message, ToolCall
from plait.models.tools import Tool

CALL = ToolCall("", "look", '{"at": "Zürich"}')


def json_of_levels(count: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(count):
        value = {"a": value}
    return value


def message(**fields: Any) -> Message:
    (turn,) = parse_turns([fields], "messages", set())
    return turn.message


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": '{"at": "Zürich"}'}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {"at": "Zürich"}}}]},
        {"role": "assistant", "tool_calls": [{"name": "look", "arguments": {"at": "Zürich"}}], "content": None},
        {"role": "assistant", "function_call": {"name": "look", "arguments": '{"at": "Z\\u00fcrich"}'}},
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "parameters": {"at": "Zürich"}}}]},
        {"role": "assistant", "tool_calls": [{"name": "look", "input": {"at": "Zürich"}}], "function_call": {}},
        {"from": "function_call", "value": '{"name": "look", "parameters": {"at": "Zürich"}}'},
        {"from": "function_call", "value": '{"name": "look", "arguments": {"at": "Zürich"}}'},
        {"from": "tool_call", "value": '[{"name": "look", "arguments": {"at": "Zürich"}}]'},
    ],
)
def test_every_form_of_a_call_means_the_same(fields: dict[str, Any]) -> None:
    assert message(**fields) == Message("assistant", "", (CALL,))


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({"role": "tool", "content": None}, ""),
        ({"role": "tool", "content": {"degrees": 3}}, '{"degrees": 3}'),
        ({"role": "tool", "content": 0}, "0"),
        ({"role": "tool", "content": False}, "false"),
        ({"role": "tool", "content": {}}, "{}"),
        ({"role": "tool", "content": []}, "[]"),
        ({"role": "tool", "content": ["a", 1]}, '["a", 1]'),
        ({"from": "observation", "value": "3"}, "3"),
        ({"role": "function", "name": "look", "content": "3"}, "3"),
        ({"role": "ipython", "content": [{"type": "text", "text": "3"}]}, "3"),
    ],
)
def test_every_form_of_a_tools_answer_is_one(fields: dict[str, Any], content: str) -> None:
    assert message(**fields) == Message("tool", content, name=fields.get("name", ""))


def test_parts_of_text_are_joined_and_reasoning_is_kept() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert message(role="developer", content=parts) == Message("system", "ab")
    for name in ("reasoning_content", "reasoning", "thinking"):
        assert message(role="assistant", content="x", **{name: "hm"}) == Message("assistant", "x", reasoning="hm")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages.0.content.0 is of type 'im"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "only text is supported"),
        ({"role": "user", "content": None}, "messages.0.content is missing"),
        ({"role": "assistant", "content": None, "refusal": "No."}, "messages.0.content is missing"),
        ({"role": "assistant", "content": "x", "refusal": "No."}, "messages.0.refusal is not supported"),
        ({"role": "assistant", "content": "x", "train_detail": [1]}, "messages.0.train_detail is not supported"),
        ({"role": "user", "content": "x", "reasoning_content": "hm"}, "only an assistant reasons"),
        ({"role": "user", "content": "x", "tool_calls": [{"name": "f"}]}, "only an assistant makes"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}, "arguments is not valid JSON"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}, "is a list and must be an object"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "args": {"x": 1}}]}, "has no arguments, but args"),
        (
            {"role": "assistant", "tool_calls": [{"name": "f"}], "function_call": {"name": "g"}},
            "messages.0.tool_calls and messages.0.function_call are both calls",
        ),
        (
            {"role": "assistant", "tool_calls": [{"name": "f", "arguments": json_of_levels(20_000)}]},
            "tool_calls.0.arguments has too many levels",
        ),
        ({"role": "system", "content": 0}, "messages.0.content is a number and must be a text"),
        ({"role": "user", "content": [{"text": "a", "image_url": "x"}]}, "content.0.image_url is not supported"),
        ({"role": "assistant", "tool_calls": [{"arguments": {}}]}, "tool_calls.0.name is missing"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": "\ud83d"}}]}, "half a character"),
        ({"from": "function_call", "value": "look()"}, "messages.0.value is not valid JSON"),
        ({"role": ["user"], "content": "x"}, "messages.0.role is ['user']"),
    ],
)
def test_a_turn_that_cannot_be_learned_as_it_is_meant_is_named(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRow) as caught:
        message(**fields)
    assert complaint in str(caught.value)


def test_tools_are_openais_or_the_functions_themselves() -> None:
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    expected = (Tool("look", "Looks.", '{"type": "object", "properties": {"at": {"type": "string"}}}'),)
    function = {"name": "look", "description": "Looks.", "parameters": schema}
    unused: set[str] = set()
    assert parse_tools([{"type": "function", "function": function | {"strict": True}}], "tools", unused) == expected
    assert parse_tools([function], "functions", unused) == expected
    assert unused == {"tools.strict"}
    for name in ("input_schema", "inputSchema"):
        assert parse_tools([{"name": "look", "description": "Looks.", name: schema}], "tools", unused) == expected
    with pytest.raises(BadRow, match=r"tools\.0 is no tool"):
        parse_tools(["look"], "tools", unused)


def test_keys_of_calls_and_of_parts_that_mean_nothing_are_told() -> None:
    unused: set[str] = set()
    parts = [{"type": "text", "text": "a", "annotations": [1]}]
    call = {"id": "1", "type": "function", "index": 0, "note": "x", "function": {"name": "look", "arguments": {}}}
    parse_turns([{"role": "assistant", "content": parts, "tool_calls": [call]}], "messages", unused)
    assert unused == {"messages.content.annotations", "messages.tool_calls.note"}
