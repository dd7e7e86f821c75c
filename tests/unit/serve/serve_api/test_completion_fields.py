"""vLLM's fields of completions and chat: tokens as prompts, echoes, log-probabilities of prompts, constraints, more."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serve_api.fakes import CHAT, WEATHER, Fakes, chunks_of, error_of, post

COMPLETION: dict[str, Any] = {"model": "base", "prompt": "ab"}


def test_lm_evals_loglikelihood_request_is_answered_as_it_reads_answers(client: TestClient, fakes: Fakes) -> None:
    """The body and the reading are those of lm_eval/models/openai_completions.py (`local-completions`)."""
    fakes.texts = ["!"]
    contexts, continuations = [b"is it", b"so"], [b" yes", b" no"]
    body = {
        "model": "base",
        "prompt": [list(c + e) for c, e in zip(contexts, continuations, strict=True)],
        "temperature": 0,
        "max_tokens": 1,
        "logprobs": 1,
        "seed": 1234,
        "echo": True,
    }
    answer = post(client, "/v1/completions", body)
    assert [call.prompt for call in fakes.calls] == [tuple(b"is it yes"), tuple(b"so no")]
    assert all(call.sampling.prompt_logprobs == call.sampling.logprobs == 1 for call in fakes.calls)
    for choice, context, continuation in zip(answer["choices"], contexts, continuations, strict=True):
        told = choice["logprobs"]
        of_continuation = told["token_logprobs"][len(context) : -1]
        assert of_continuation == [-0.125] * len(continuation)
        assert [max(top.values()) for top in told["top_logprobs"][len(context) : -1]] == of_continuation
        assert told["token_logprobs"][0] is told["top_logprobs"][0] is None
        assert choice["text"] == (context + continuation).decode() + "!"


def test_lm_evals_generation_request_may_have_many_stops(client: TestClient, fakes: Fakes) -> None:
    stops = [f"stop {number}" for number in range(40)]
    body = {"prompt": [[97, 98]], "model": "base", "max_tokens": 256, "temperature": 0, "stop": stops, "seed": 1234}
    post(client, "/v1/completions", body)
    assert fakes.calls[0].sampling.stop == tuple(stops)


def test_prompts_are_a_text_tokens_or_lists_of_either(client: TestClient, fakes: Fakes) -> None:
    prompts: list[Any] = ["ab", ["ab", "c"], [97, 98], [[97, 98], [99]], ""]
    for prompt in prompts:
        post(client, "/v1/completions", {"model": "base", "prompt": prompt})
    assert [call.prompt for call in fakes.calls] == ["ab", "ab", "c", (97, 98), (97, 98), (99,), ""]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ([], "at least 1 item"),
        ([[]], "none may be without tokens"),
        ([-1], "a text, token ids (from 0), or a list of either"),
        ([True], "a text, token ids (from 0), or a list of either"),
        (["a", [1]], "a text, token ids (from 0), or a list of either"),
        ([[1], ["a"]], "a text, token ids (from 0), or a list of either"),
        ({"text": "a"}, "a text, token ids, or a list of either is required"),
        ([[1]] * 129, "129 prompts are given, at most 128"),
    ],
)
def test_another_prompt_is_refused_in_a_sentence(client: TestClient, prompt: Any, reason: str) -> None:
    status, error = error_of(client, "/v1/completions", {"model": "base", "prompt": prompt})
    assert (status, error["param"]) == (400, "prompt")
    assert reason in error["message"]


def test_an_echo_comes_before_the_answer_with_offsets_in_both(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["cd"]
    body = COMPLETION | {"echo": True, "logprobs": 1}
    (choice,) = post(client, "/v1/completions", body)["choices"]
    assert choice["text"] == "abcd"
    assert choice["logprobs"]["tokens"] == ["<bos>", "a", "b", "c", "d"]
    assert choice["logprobs"]["token_logprobs"] == [None, -0.125, -0.125, -0.25, -0.25]
    assert choice["logprobs"]["top_logprobs"][1] == {"x": -0.5, "a": -0.125}
    assert choice["logprobs"]["text_offset"] == [0, 0, 1, 2, 3]
    chunks = [chunk["choices"][0] for chunk in chunks_of(client, "/v1/completions", body)]
    assert [chunk["text"] for chunk in chunks] == ["abc", "d"]
    assert [offset for chunk in chunks for offset in chunk["logprobs"]["text_offset"]] == [0, 0, 1, 2, 3]
    bare = post(client, "/v1/completions", COMPLETION | {"echo": True})["choices"][0]
    assert (bare["text"], bare["logprobs"]) == ("abcd", None)
    assert fakes.calls[-1].sampling.prompt_logprobs is None


def test_no_token_may_be_asked_for_beside_an_echo(client: TestClient, fakes: Fakes) -> None:
    answer = post(client, "/v1/completions", COMPLETION | {"echo": True, "logprobs": 0, "max_tokens": 0})
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
    assert choice["logprobs"]["top_logprobs"] == [None, {"a": -0.125}, {"b": -0.125}]
    assert answer["usage"]["completion_tokens"] == 0
    (chunk,) = chunks_of(client, "/v1/completions", COMPLETION | {"echo": True, "max_tokens": 0})
    assert chunk["choices"][0]["text"] == "ab"


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/completions", COMPLETION), ("/v1/chat/completions", CHAT)], ids=["text", "chat"]
)
def test_prompt_logprobs_are_vllms(client: TestClient, fakes: Fakes, path: str, body: dict[str, Any]) -> None:
    answer = post(client, path, body | {"prompt_logprobs": 1})
    told = (answer["choices"][0] if path == "/v1/completions" else answer)["prompt_logprobs"]
    if path == "/v1/completions":
        x = {"logprob": -0.5, "rank": 1, "decoded_token": "x"}
        assert told[:2] == [None, {"97": {"logprob": -0.125, "rank": 3, "decoded_token": "a"}, "120": x}]
    assert fakes.calls[0].sampling.prompt_logprobs == 1
    assert "prompt_logprobs" not in json.dumps(post(client, path, body))
    status, error = error_of(client, path, body | {"prompt_logprobs": 1, "stream": True})
    assert (status, error["param"]) == (400, "prompt_logprobs")


def test_tokens_may_be_named_by_their_ids(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["c"]
    body = {"logprobs": 1, "return_tokens_as_token_ids": True}
    told = post(client, "/v1/completions", COMPLETION | body)["choices"][0]["logprobs"]
    assert (told["tokens"], told["top_logprobs"]) == (["token_id:99"], [{"token_id:120": -0.5, "token_id:99": -0.25}])
    chat = CHAT | body | {"logprobs": True, "top_logprobs": 1}
    (token,) = post(client, "/v1/chat/completions", chat)["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["top_logprobs"][0]["token"], token["bytes"]) == ("token_id:99", "token_id:120", [99])


def test_responses_take_what_vllm_takes_there(client: TestClient, fakes: Fakes) -> None:
    """guidellm sends a null for stop, and ignore_eos."""
    fields: dict[str, Any] = {
        "ignore_eos": True,
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "seed": 7,
    }
    asked = {"model": "base", "input": "hi", "store": False} | fields
    post(client, "/v1/responses", asked | {"stop": None, "structured_outputs": {"regex": "a+"}})
    post(client, "/v1/responses", asked | {"stop": ["a", "b"], "logit_bias": {"3": 1.5}})
    first, second = (call.sampling for call in fakes.calls)
    assert {name: getattr(first, name) for name in fields} == fields
    assert (first.stop, first.regex, second.stop, second.logit_bias) == ((), "a+", ("a", "b"), ((3, 1.5),))
    status, error = error_of(client, "/v1/responses", asked | {"stop": [""]})
    assert (status, error["param"]) == (400, "stop")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_the_engines_fields_reach_it(client: TestClient, fakes: Fakes, path: str) -> None:
    fields: dict[str, Any] = {
        "min_tokens": 2,
        "stop_token_ids": [3, 4],
        "bad_words": ["no"],
        "allowed_token_ids": [5],
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
    }
    body = COMPLETION if path == "/v1/completions" else CHAT
    post(client, path, body | fields | {"truncate_prompt_tokens": -1})
    (call,) = fakes.calls
    given = {name: getattr(call.sampling, name) for name in fields}
    assert given == {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    assert call.truncate_prompt_tokens == -1
    for change, reason in (
        ({"truncate_prompt_tokens": 0}, "1 at least"),
        ({"stop": ["x" * 9000, "y" * 9000]}, "the stop strings have 18000 bytes"),
        ({"bad_words": ["x"] * 257}, "at most 256"),
    ):
        status, error = error_of(client, path, body | change)
        assert (status, error["param"]) == (400, next(iter(change)))
        assert reason in error["message"]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
STRUCTURES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"guided_json": SCHEMA}, {"json_schema": json.dumps(SCHEMA)}),
    ({"guided_json": json.dumps(SCHEMA)}, {"json_schema": json.dumps(SCHEMA)}),
    ({"guided_regex": "a+"}, {"regex": "a+"}),
    ({"guided_choice": ["a", "b"]}, {"choice": ("a", "b")}),
    ({"guided_grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}),
    ({"structured_outputs": {"json": SCHEMA}}, {"json_schema": json.dumps(SCHEMA)}),
    ({"structured_outputs": {"json_object": True}}, {"json_schema": '{"type": "object"}'}),
    ({"structured_outputs": {"regex": "a+", "disable_any_whitespace": True}}, {"regex": "a+"}),
    ({"structured_outputs": {"choice": ["a"], "json": None}}, {"choice": ("a",)}),
    ({"structured_outputs": {"grammar": "start: /a/"}}, {"grammar": "start: /a/"}),
]


@pytest.mark.parametrize(("fields", "expected"), STRUCTURES)
@pytest.mark.parametrize("body", [COMPLETION, CHAT], ids=["text", "chat"])
def test_an_answers_structure_has_vllms_names(
    client: TestClient, fakes: Fakes, body: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    post(client, "/v1/completions" if body is COMPLETION else "/v1/chat/completions", body | fields)
    sampling = fakes.calls[0].sampling
    given = {name: getattr(sampling, name) for name in ("json_schema", "regex", "choice", "grammar")}
    assert {name: value for name, value in given.items() if value} == expected
    assert not fakes.calls[0].is_prose


def test_completions_have_response_formats_too(client: TestClient, fakes: Fakes) -> None:
    post(client, "/v1/completions", COMPLETION | {"response_format": {"type": "json_object"}})
    assert fakes.calls[0].sampling.json_schema == '{"type": "object"}'


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": {}}, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.json"),
        ({"structured_outputs": {"json_object": True, "json": {}}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": {}, "disable_additional_properties": True}}, "structured_outputs.disable_add"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
        ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "response_format"),
        ({"guided_regex": "a", "tools": [WEATHER]}, "guided_regex"),
        ({"guided_choice": []}, "guided_choice"),
    ],
)
def test_an_answer_follows_one_structure(client: TestClient, fakes: Fakes, fields: dict[str, Any], param: str) -> None:
    status, error = error_of(client, "/v1/chat/completions", CHAT | fields)
    assert status == 400
    assert error["param"].startswith(param)


def test_the_templates_variables_reach_it_and_its_own_are_refused(client: TestClient, fakes: Fakes) -> None:
    variables = {"enable_thinking": False, "style": {"words": ["few"]}}
    post(client, "/v1/chat/completions", CHAT | {"chat_template_kwargs": variables})
    post(client, "/v1/chat/completions", CHAT | {"add_generation_prompt": False})
    post(client, "/v1/chat/completions", CHAT | {"continue_final_message": True, "add_generation_prompt": False})
    post(client, "/v1/chat/completions", CHAT | {"continue_final_message": True})
    assert fakes.calls[0].template_variables == variables
    how = [(call.add_generation_prompt, call.continue_final_message) for call in fakes.calls]
    assert how == [(True, False), (False, False), (False, True), (False, True)]
    for change in (
        {"chat_template_kwargs": {"messages": []}},
        {"chat_template_kwargs": {"bos_token": "x"}},
        {"continue_final_message": True, "add_generation_prompt": True},
    ):
        status, error = error_of(client, "/v1/chat/completions", CHAT | change)
        assert (status, error["param"]) == (400, next(iter(change)))


def test_a_continued_message_keeps_the_space_before_the_next_word(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = [" word"]
    for change, expected in (({}, "word"), ({"continue_final_message": True}, " word")):
        answer = post(client, "/v1/chat/completions", CHAT | change)
        assert answer["choices"][0]["message"]["content"] == expected
