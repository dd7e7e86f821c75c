"""What /v1/responses refuses or ignores, and how an answer that fails says so."""

from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from plait.errors import InvalidField, NotFinite, Overloaded
from plait.serve.api.generation_requests import MAX_MESSAGES
from plait.serve.api.responses.input_items import MessageItem
from plait.serve.api.responses.requests import ResponseRequest
from plait.serve.messages.calls import Call, Event
from serve_api.asked_responses import ASKED, RESPONSES, SEARCH, WEATHER
from serve_api.fakes import Fakes, error_of, post

pytestmark = pytest.mark.usefixtures("own_home")


def test_an_error_before_the_first_token_is_an_http_status(ai: Any, fakes: Fakes) -> None:
    fakes.error = Overloaded("Too many requests are waiting.")
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError, match="Too many requests"):
            ai.responses.create(**ASKED, stream=stream)


def test_an_error_after_it_ends_the_stream_with_what_went_wrong(
    ai: Any, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(call: Call) -> AsyncGenerator[Event]:
        yield Event("he", 1, 1, None, "base")
        raise NotFinite("The numbers became infinite.")

    monkeypatch.setattr(fakes, "answer", broken)
    *_, error, last = ai.responses.create(**ASKED, stream=True)
    assert (error.type, error.code, error.message) == ("error", "not_finite", "The numbers became infinite.")
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert (last.response.error.code, last.response.output_text) == ("server_error", "he")


@pytest.mark.parametrize(
    ("change", "param", "sentence"),
    [
        *(
            ({"input": [{"role": "user", "content": [{"type": f"input_{kind}"}]}]}, "input.0.content.0.type", sentence)
            for kind, sentence in (("image", "no images"), ("audio", "no audio"), ("file", "upload it to /v1/files"))
        ),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input.0.type", "'web_search_call' are not read here"),
        ({"input": [{"type": "reasoning", "id": "x"}]}, "input", "no message"),
        ({"input": []}, "input", "at least 1 item"),
        *(
            ({"tools": [{"type": kind}]}, "tools.0.type", f"the tool '{kind}' is not supported")
            for kind in ("web_search", "code_interpreter", "computer_use_preview", "mcp", "image_generation", "shell")
        ),
        ({"tools": [SEARCH, SEARCH]}, "tools", "more than once"),
        ({"tools": [SEARCH | {"vector_store_ids": ["a"] * 17}]}, "tools.0.vector_store_ids", "at most 16 item"),
        ({"tools": [SEARCH], "retrieval": {"top_k": 2}}, "retrieval", "leave retrieval out"),
        ({"tool_choice": "required"}, "tool_choice", "needs tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice", "none of the tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "file_search"}}, "tool_choice", "none of the tools"),
        (
            {
                "tools": [WEATHER],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]},
            },
            "tool_choice",
            "none of the tools",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", "is required"),
        ({"stream_options": {}}, "stream_options", "needs stream"),
        ({"conversation": "conv_1"}, "conversation", "previous_response_id"),
        ({"prompt": {"id": "x"}}, "prompt", "send instructions"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "at most 512"),
        ({"no_such_field": 1}, "no_such_field", "not known"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    client: TestClient, fakes: Fakes, change: dict[str, Any], param: str, sentence: str
) -> None:
    status, error = error_of(client, RESPONSES, ASKED | change)
    assert (status, error["param"]) == (400, param), error
    assert sentence in error["message"]
    assert fakes.calls == []


def test_what_chat_refuses_is_named_as_the_client_wrote_it() -> None:
    too_many = [MessageItem(role="user", content="hi")] * (MAX_MESSAGES + 1)
    with pytest.raises(InvalidField, match="The field 'input'") as refused:
        ResponseRequest(**ASKED).chat(too_many)
    assert refused.value.field == "input"


def test_what_changes_nothing_is_ignored(client: TestClient, fakes: Fakes) -> None:
    fields: dict[str, Any] = {
        "reasoning": {"effort": "low", "summary": "auto"},
        "truncation": "auto",
        "include": ["reasoning.encrypted_content", "message.input_image.image_url"],
        "service_tier": "auto",
        "safety_identifier": "u",
        "prompt_cache_key": "k",
        "max_tool_calls": 3,
        "background": False,
        "parallel_tool_calls": False,
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tools": [],
    }
    post(client, RESPONSES, ASKED)
    post(client, RESPONSES, ASKED | fields)
    bare, given = fakes.calls
    assert (bare.sampling, bare.messages, bare.tools) == (given.sampling, given.messages, given.tools)
