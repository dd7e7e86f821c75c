"""Calls of tools keep each function's own schema, by the grammar that answers follow and by jsonschema."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator
from llguidance import LLMatcher, LLTokenizer

from plait.errors import InvalidInput
from plait.models.tools import Tool
from plait.serve.api.tool_requests import call_or_answer_schema, forced_call_schema
from serve_api.fakes import CHAT, error_of

BYTES = LLTokenizer("byte")
CLOSED: dict[str, Any] = {"type": "object", "additionalProperties": False}
POINT = CLOSED | {
    "properties": {"at": {"$ref": "#/$defs/P"}},
    "required": ["at"],
    "$defs": {"P": {"type": "integer"}},
}
NAMED = POINT | {"$defs": {"P": {"type": "string"}}}
TREE = CLOSED | {"properties": {"child": {"$ref": "#"}}}
DRAFT_7: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$ref": "#/definitions/Args",
    "definitions": {
        "Args": CLOSED | {"properties": {"on": {"$ref": "#/definitions/Flag"}}},
        "Flag": {"type": "boolean"},
    },
}
DRAFT_4 = CLOSED | {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "properties": {"on": {"$ref": "#/definitions/Flag"}},
    "definitions": {"Flag": {"type": "boolean"}},
}
POINTER = CLOSED | {"properties": {"a b": {"type": "integer"}, "c": {"$ref": "#/properties/a%20b"}}}
ANCHOR = CLOSED | {"properties": {"x": {"$ref": "#here"}}, "$defs": {"X": {"$anchor": "here", "type": "null"}}}
WITH_ID = POINT | {"$id": "https://example.com/root.json", "properties": {"at": {"$ref": "root.json#/$defs/P"}}}
INNER_ID = CLOSED | {"properties": {"n": {"$id": "inner.json", "$ref": "#/$defs/q", "$defs": {"q": {"type": "null"}}}}}
A_PROPERTY_NAMED_REF = CLOSED | {"properties": {"$ref": {"type": "string"}, "$defs": {"type": "integer"}}}
UNTYPED: dict[str, Any] = {
    "properties": {"a": {"type": "integer"}, "again": {"$ref": "#"}},
    "additionalProperties": False,
}
NULLABLE = {"type": ["object", "null"], "properties": {"a": {"type": "integer"}}, "additionalProperties": False}


def forced(*parameters: dict[str, Any]) -> str:
    return forced_call_schema([Tool(f"t{i}", "", json.dumps(schema)) for i, schema in enumerate(parameters)])


def accepts(schema: str, call: Any) -> bool:
    grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
    matcher = LLMatcher(BYTES, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    text = json.dumps(call, separators=(",", ":")).encode()
    return bool(matcher.consume_tokens(list(text)) and matcher.is_accepting())


@pytest.mark.parametrize(
    ("parameters", "good", "bad"),
    [
        ((POINT, NAMED), [{"at": 1}, {"at": "x"}], [{"at": "x"}, {"at": 1}]),
        (
            (NAMED, TREE, POINT),
            [{"at": "x"}, {"child": {"child": {}}}, {"at": 1}],
            [{"at": 1}, {"child": 1}, {"at": "x"}],
        ),
        ((TREE,), [{"child": {"child": {}}}], [{"child": {"name": "t0", "arguments": {}}}]),
        ((DRAFT_7, TREE), [{"on": True}, {"child": {}}], [{"on": 1}, {"on": True}]),
        ((DRAFT_7, DRAFT_4), [{"on": True}, {"on": False}], [{"on": 1}, {"on": 1}]),
        ((POINTER, ANCHOR), [{"c": 1}, {"x": None}], [{"c": "x"}, {"x": 1}]),
        ((WITH_ID, INNER_ID), [{"at": 1}, {"n": None}], [{"at": "x"}, {"n": 1}]),
        (
            (INNER_ID, INNER_ID | {"properties": {"n": {"$id": "inner.json", "type": "string"}}}),
            [{"n": None}, {"n": "x"}],
            [{"n": 1}, {"n": None}],
        ),
        (
            (POINT | {"$id": "https://x/s"}, NAMED | {"$id": "https://x/s"}),
            [{"at": 1}, {"at": "x"}],
            [{"at": "x"}, {"at": 1}],
        ),
        ((A_PROPERTY_NAMED_REF,), [{"$ref": "x", "$defs": 1}], [{"$ref": 1}]),
        ((UNTYPED, {}), [{"a": 1, "again": "not an object"}, {"any": 1}], ["x", "x"]),
        ((NULLABLE, {"anyOf": [{"type": "string"}, CLOSED]}), [{"a": 1}, {}], [None, "x"]),
    ],
)
def test_each_function_is_called_by_its_own_schema(parameters: Any, good: list[Any], bad: list[Any]) -> None:
    schema = forced(*parameters)
    validator = Draft202012Validator(json.loads(schema))
    for is_good, arguments in ((True, good), (False, bad)):
        for i, value in enumerate(arguments):
            call = {"name": f"t{i}", "arguments": value}
            assert accepts(schema, call) is is_good, call
            assert validator.is_valid(call) is is_good, call


def test_a_reference_to_nowhere_is_refused_by_name() -> None:
    for reference in ("#/$defs/Q", "https://example.org/other.json", "#nowhere"):
        schema = forced(POINT | {"properties": {"at": {"$ref": reference}}})
        with pytest.raises(AssertionError, match=reference.lstrip("#").rpartition("/")[2]):
            accepts(schema, {})


def test_one_id_of_two_schemas_is_refused_by_name() -> None:
    def inner(kind: str) -> dict[str, Any]:
        return CLOSED | {"properties": {"n": {"$id": "https://example.com/n", "type": kind}}}

    assert accepts(forced(inner("null"), inner("null")), {"name": "t1", "arguments": {"n": None}})
    with pytest.raises(InvalidInput, match=r"'t1' have the \$id 'https://example.com/n'"):
        forced(inner("null"), inner("string"))


@pytest.mark.parametrize("kind", ["array", "string", ["null", "string"]])
def test_arguments_that_are_no_object_are_refused_by_name(client: TestClient, kind: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": kind}}}]
    status, error = error_of(client, "/v1/chat/completions", CHAT | {"tools": tools})
    assert (status, error["param"]) == (400, "tools.0.function.parameters")
    assert "arguments are an object" in error["message"]


@pytest.mark.parametrize("answer", [POINT, POINT | {"$id": "https://example.com/a"}, TREE, DRAFT_7, NULLABLE])
def test_one_grammar_takes_calls_and_answers_each_by_its_own_schema(answer: dict[str, Any]) -> None:
    tools = [Tool("t0", "", json.dumps(NAMED)), Tool("t1", "", json.dumps({"type": "object"}))]
    schema = call_or_answer_schema(tools, json.dumps(answer), is_parallel=True)
    validator, alone = Draft202012Validator(json.loads(schema)), Draft202012Validator(answer)
    good = {"name": "t0", "arguments": {"at": "x"}}
    for call in (good, [good, {"name": "t1", "arguments": {"a": [1]}}]):
        assert accepts(schema, call)
        assert validator.is_valid(call)
    for bad in ({"name": "t0", "arguments": {"at": 1}}, {"name": "t2", "arguments": {}}, [], [1], "x"):
        assert not accepts(schema, bad)
        assert not validator.is_valid(bad)
    for said in ({"at": 1}, {"child": {"child": {}}}, {"on": True}, {"a": 1}, {"at": "x"}):
        assert accepts(schema, said) is validator.is_valid(said) is alone.is_valid(said), said
    assert not accepts(call_or_answer_schema(tools, json.dumps(answer), is_parallel=False), [good])


def test_an_id_of_the_answers_schema_that_a_function_has_too_is_refused_by_name() -> None:
    inner = {"n": {"$id": "https://example.com/n", "type": "null"}}
    tool = Tool("t0", "", json.dumps(CLOSED | {"properties": {"n": inner["n"] | {"type": "string"}}}))
    with pytest.raises(InvalidInput, match=r"schema of response_format has the \$id 'https://example.com/n'"):
        call_or_answer_schema([tool], json.dumps(CLOSED | {"properties": inner}), is_parallel=True)
