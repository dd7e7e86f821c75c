"""What the tools of a response do: functions that the client runs, and the search in vector stores."""

from dataclasses import replace
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from plait.models.message import Message, ToolCall
from serve_api.asked_responses import (
    ASKED,
    CALLED,
    OF_A_CALL,
    OF_A_MESSAGE,
    RAY,
    RESPONSES,
    SEARCH,
    TIME,
    WEATHER,
    kinds,
)
from serve_api.fakes import PASSAGE, YOUNG, Fakes, post

pytestmark = pytest.mark.usefixtures("own_home")


def test_a_call_of_a_function_and_what_it_gave_are_a_conversation(ai: Any, fakes: Fakes) -> None:
    fakes.texts = [CALLED]
    asked: Any = [{"role": "user", "content": [{"type": "input_text", "text": "Is it warm in Rome?"}]}]
    answer = ai.responses.create(model="base", input=asked, tools=[WEATHER])
    (call,) = answer.output
    assert call.type == "function_call"
    assert (call.name, call.arguments, answer.output_text) == ("weather", '{"city": "Rome"}', "")
    (tool,) = fakes.calls[0].tools
    assert (tool.name, tool.description) == ("weather", "The weather now.")
    fakes.texts = ["Warm."]
    gave = {"type": "function_call_output", "call_id": call.call_id, "output": [{"type": "input_text", "text": "31"}]}
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    asked += [thought, call.to_dict(), gave]
    assert ai.responses.create(model="base", input=asked, tools=[WEATHER]).output_text == "Warm."
    made = ToolCall(call.call_id, "weather", '{"city": "Rome"}')
    assert fakes.calls[1].messages == (
        Message("user", "Is it warm in Rome?"),
        Message("assistant", "", (made,)),
        Message("tool", "31", tool_call_id=call.call_id),
    )
    asked = [{"role": "user", "content": "x"}, gave]
    with pytest.raises(openai.BadRequestError, match=r"no function_call .* before its output"):
        ai.responses.create(model="base", input=asked)


def test_a_call_is_streamed_by_its_arguments(ai: Any, fakes: Fakes) -> None:
    fakes.texts = [CALLED]
    events = list(ai.responses.create(**ASKED, tools=[WEATHER], tool_choice="required", stream=True))
    assert kinds(events) == ["response.created", "response.in_progress", *OF_A_CALL, "response.completed"]
    assert fakes.calls[0].sampling.json_schema is not None
    fakes.texts = [f"Let me see. <tool_call>{CALLED}</tool_call>"]
    events = list(ai.responses.create(**ASKED, tools=[WEATHER], stream=True))
    assert kinds(events)[2:-1] == [*OF_A_MESSAGE, *OF_A_CALL]
    message, call = events[-1].response.output
    assert (message.content[0].text.strip(), call.arguments) == ("Let me see.", '{"city": "Rome"}')
    with ai.responses.stream(**ASKED, tools=[WEATHER]) as stream:
        assert stream.get_final_response().output[1].to_dict()["parsed_arguments"] == {"city": "Rome"}


@pytest.mark.parametrize(
    ("choice", "offered", "is_forced"),
    [
        ("auto", ["weather", "time"], False),
        ("none", [], False),
        ("required", ["weather", "time"], True),
        (TIME, ["weather", "time"], True),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "time"}]}, ["time"], False),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]},
            ["time"],
            True,
        ),
    ],
)
def test_which_functions_may_or_must_be_called(
    client: TestClient, fakes: Fakes, choice: Any, offered: list[str], is_forced: bool
) -> None:
    tools = [WEATHER, TIME]
    answer = post(client, RESPONSES, ASKED | {"tools": tools, "tool_choice": choice})
    assert answer["tool_choice"] == choice
    assert [tool.name for tool in fakes.calls[0].tools] == offered
    assert (fakes.calls[0].sampling.json_schema is not None) == is_forced


# ------------------------------------------------------------ file_search


def test_file_search_answers_from_a_vector_store_and_cites_its_files(
    ai: Any, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_api.fakes.PASSAGE", replace(PASSAGE, text=f"Here {RAY}"))
    fakes.texts = [f"Well, {RAY}, I think."]
    tool = SEARCH | {
        "max_num_results": 4,
        "filters": YOUNG,
        "ranking_options": {
            "ranker": "none",
            "score_threshold": 0.2,
            "hybrid_search": {"embedding_weight": 3, "text_weight": 1},
        },
    }
    answer = ai.responses.create(**ASKED, tools=[tool], include=["file_search_call.results"])
    search, message = answer.output
    assert search.type == "file_search_call"
    assert (search.status, search.queries) == ("completed", ["hi"])
    assert [(r.file_id, r.filename, r.text, r.attributes) for r in search.results or ()] == [
        ("ray.md", "ray.md", f"Here {RAY}", {"lang": "en"})
    ]
    assert message.type == "message"
    (cited,) = message.content[0].annotations
    assert (cited.type, cited.file_id, cited.index) == ("file_citation", "ray.md", len(f"Well, {RAY}"))
    (_, how) = fakes.retrievals[0]
    assert (how.named, how.top_k, how.rerank, how.min_score) == (("docs",), 4, "none", 0.2)
    assert (how.mode, how.dense_weight) == ("hybrid", 0.75)
    assert not isinstance(how.filter, str)
    assert answer.model == "base"
    assert str(fakes.calls[0].model) == "rag/base"
    assert ai.responses.create(**ASKED, tools=[SEARCH]).output[0].to_dict()["results"] is None


def test_several_vector_stores_are_searched_for_one_answer(client: TestClient, fakes: Fakes) -> None:
    tool = SEARCH | {"vector_store_ids": ["docs", "tickets", "docs"]}
    post(client, RESPONSES, ASKED | {"tools": [tool]})
    post(client, "/v1/retrieve", {"query": "hi", "collection": ["docs", "tickets"]})
    assert [how.named for _, how in fakes.retrievals] == [("docs", "tickets")] * 2


def test_a_search_is_streamed_before_the_answer(ai: Any) -> None:
    events = list(ai.responses.create(**ASKED, tools=[SEARCH], stream=True))
    search = [f"response.file_search_call.{state}" for state in ("in_progress", "searching", "completed")]
    of_a_message = [*OF_A_MESSAGE[:3], "response.output_text.annotation.added", *OF_A_MESSAGE[3:]]
    assert kinds(events)[2:-1] == [
        "response.output_item.added",
        *search,
        "response.output_item.done",
        *of_a_message,
    ]
    with ai.responses.stream(**ASKED, tools=[SEARCH]) as stream:
        assert stream.get_final_response().output_text == "hello"


@pytest.mark.parametrize(
    ("choice", "searches"),
    [
        ("required", True),
        ({"type": "file_search"}, True),
        ("none", False),
        ({"type": "function", "name": "weather"}, False),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]}, False),
    ],
)
def test_a_search_is_made_unless_the_choice_leaves_it_out(
    client: TestClient, fakes: Fakes, choice: Any, searches: bool
) -> None:
    answer = post(client, RESPONSES, ASKED | {"tools": [SEARCH, WEATHER], "tool_choice": choice})
    assert fakes.calls[0].model.with_retrieval == searches
    assert (answer["output"][0]["type"] == "file_search_call") == searches


def test_a_model_that_retrieves_cites_addresses_as_chat_does(ai: Any, fakes: Fakes) -> None:
    answer = ai.responses.create(model="rag/base", input="hi", extra_body={"retrieval": {"top_k": 2}})
    (message,) = answer.output
    (cited,) = message.content[0].annotations
    assert (cited.type, cited.title, cited.end_index) == ("url_citation", "ray", 5)
    assert cited.url == "http://testserver/v1/vector_stores/docs/passages/c1"
    assert fakes.retrievals[0][1].top_k == 2
