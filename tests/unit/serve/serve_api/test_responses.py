"""Answers of /v1/responses as OpenAI's own client asks for them and reads them: whole, streamed, parsed."""

import json
from typing import Any

import pytest
from described import strict_description, validator
from fastapi.testclient import TestClient
from pydantic import BaseModel

from plait.models.message import Message
from serve_api.asked_responses import (
    ASKED,
    CALLED,
    OF_A_MESSAGE,
    RESPONSES,
    SEARCH,
    WEATHER,
    kinds,
)
from serve_api.fakes import Fakes

pytestmark = pytest.mark.usefixtures("own_home")


def test_an_answer_has_its_text_its_usage_and_what_was_asked(ai: Any, fakes: Fakes) -> None:
    answer = ai.responses.create(
        **ASKED, instructions="Be brief.", metadata={"run": "7"}, max_output_tokens=5, temperature=0, user="u"
    )
    assert (answer.output_text, answer.status, answer.model) == ("hello", "completed", "base")
    assert (answer.instructions, answer.metadata, answer.max_output_tokens) == ("Be brief.", {"run": "7"}, 5)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 5, 12)
    assert answer.usage.input_tokens_details.cached_tokens == 4
    (call,) = fakes.calls
    assert call.messages == (Message("system", "Be brief."), Message("user", "hi"))
    assert (call.sampling.max_tokens, call.sampling.temperature, call.is_streamed) == (5, 0.0, False)


def test_a_stream_has_openais_events_in_their_order(ai: Any) -> None:
    events = list(ai.responses.create(**ASKED, stream=True))
    assert kinds(events) == ["response.created", "response.in_progress", *OF_A_MESSAGE, "response.completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "hello"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "hello"
    assert last.response.usage is not None
    assert ai.responses.retrieve(last.response.id).to_dict() == last.response.to_dict()


def test_openais_own_stream_puts_the_answer_together(ai: Any) -> None:
    with ai.responses.stream(**ASKED) as stream:
        assert stream.get_final_response().output_text == "hello"
    with ai.responses.with_streaming_response.create(**ASKED) as response:
        assert response.parse().output_text == "hello"


@pytest.mark.parametrize("change", [{}, {"tools": [SEARCH]}, {"tools": [WEATHER], "tool_choice": "required"}])
def test_events_of_a_stream_follow_the_description(client: TestClient, fakes: Fakes, change: dict[str, Any]) -> None:
    fakes.texts = [CALLED]
    document = strict_description()
    content = document["paths"][RESPONSES]["post"]["responses"]["200"]["content"]["text/event-stream"]
    of_event = validator(document, content["x-event-schema"])
    response = client.post(RESPONSES, json=ASKED | change | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    for block in filter(None, response.text.split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        of_event.validate(event)


class Place(BaseModel):
    city: str


def test_a_model_of_pydantics_is_a_schema_that_the_answer_follows(ai: Any, fakes: Fakes) -> None:
    fakes.texts = ['{"city": "Rome"}']
    assert ai.responses.parse(**ASKED, text_format=Place).output_parsed == Place(city="Rome")
    with ai.responses.stream(**ASKED, text_format=Place) as stream:
        assert stream.get_final_response().output_parsed == Place(city="Rome")
    schema = fakes.calls[0].sampling.json_schema
    assert schema is not None
    assert '"city"' in schema
    any_object = ai.responses.create(**ASKED, text={"format": {"type": "json_object"}, "verbosity": "low"})
    assert any_object.output_text
    assert fakes.calls[-1].sampling.json_schema == '{"type": "object"}'


def test_an_answer_that_is_cut_is_incomplete(ai: Any, fakes: Fakes) -> None:
    fakes.finish = "length"
    answer = ai.responses.create(**ASKED)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output[0].to_dict()["status"] == "incomplete"
    assert list(ai.responses.create(**ASKED, stream=True))[-1].type == "response.incomplete"
    fakes.finish = "deadline"
    late = ai.responses.create(**ASKED)
    assert (late.status, late.incomplete_details.reason) == ("incomplete", None)
    assert late.to_dict()["plait"]["stopped_by"] == "deadline"


def test_log_probabilities_come_where_they_are_included(ai: Any) -> None:
    include: Any = ["message.output_text.logprobs"]
    answer = ai.responses.create(**ASKED, include=include, top_logprobs=2)
    part = answer.output[0].to_dict()["content"][0]
    assert [token["token"] for token in part["logprobs"]] == list("hello")
    assert len(part["logprobs"][0]["top_logprobs"]) == 2
    deltas = [
        event
        for event in ai.responses.create(**ASKED, include=include, stream=True)
        if event.type == "response.output_text.delta"
    ]
    assert [token.token for event in deltas for token in event.logprobs] == list("hello")
    assert ai.responses.create(**ASKED, top_logprobs=2).output[0].to_dict()["content"][0]["logprobs"] == []


def test_log_probabilities_of_text_that_is_held_back_come_with_the_next_delta(ai: Any, fakes: Fakes) -> None:
    fakes.texts = ['<tool_cat> is text, and {"name": "nobody"} too']
    events = list(ai.responses.create(**ASKED, tools=[WEATHER], include=["message.output_text.logprobs"], stream=True))
    (done,) = (event for event in events if event.type == "response.output_text.done")
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [token.token for event in deltas for token in event.logprobs] == [token.token for token in done.logprobs]
    assert done.logprobs
