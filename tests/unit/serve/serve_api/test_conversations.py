"""Responses that go on with earlier ones, and the items that are kept of them."""

from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from plait.models.message import Message, ToolCall
from plait.serve.api.responses.storage import ResponseStorage, StoredResponse
from serve_api.asked_responses import ASKED, CALLED, RESPONSES, SEARCH, WEATHER
from serve_api.fakes import Fakes, post

pytestmark = pytest.mark.usefixtures("own_home")


def test_a_conversation_goes_on_without_the_instructions_of_before(ai: Any, fakes: Fakes) -> None:
    fakes.texts = ["one", CALLED, "two"]
    first = ai.responses.create(**ASKED, instructions="Be brief.")
    second = ai.responses.create(
        model="base",
        input="and?",
        previous_response_id=first.id,
        instructions="Be long.",
        tools=[WEATHER],
    )
    (call,) = second.output
    assert call.type == "function_call"
    ai.responses.create(
        model="base",
        previous_response_id=second.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "31"}],
    )
    said = (Message("user", "hi"), Message("assistant", "one"), Message("user", "and?"))
    assert fakes.calls[1].messages == (Message("system", "Be long."), *said)
    made = ToolCall(call.call_id, "weather", '{"city": "Rome"}')
    after = (Message("assistant", "", (made,)), Message("tool", "31", tool_call_id=call.call_id))
    assert fakes.calls[2].messages == (*said, *after)


def test_instructions_and_a_message_of_the_system_at_the_beginning_are_one(client: TestClient, fakes: Fakes) -> None:
    messages = [{"role": "developer", "content": "Say yes."}, {"role": "user", "content": "hi"}]
    post(client, RESPONSES, {"model": "base", "input": messages, "instructions": "Be brief."})
    assert fakes.calls[0].messages == (Message("system", "Be brief.\n\nSay yes."), Message("user", "hi"))


def test_what_is_kept_is_listed_shown_and_forgotten(ai: Any) -> None:
    first = ai.responses.create(**ASKED)
    second = ai.responses.create(model="base", input="and?", previous_response_id=first.id, instructions="Be brief.")
    newest_first = list(ai.responses.input_items.list(second.id, limit=2))
    assert [item.to_dict()["content"][0]["text"] for item in newest_first] == ["and?", "hello", "hi"]
    assert len({item.id for item in newest_first}) == 3
    oldest_first = ai.responses.input_items.list(second.id, order="asc", limit=1)
    assert oldest_first.has_more
    assert ai.responses.retrieve(second.id).to_dict() == second.to_dict()
    ai.responses.delete(first.id)
    for ask in (ai.responses.retrieve, ai.responses.delete, ai.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="There is no response"):
            ask(first.id)
    assert ai.responses.create(model="base", input="!", previous_response_id=second.id).output_text == "hello"


def test_an_item_that_is_kept_is_referred_to_by_its_id(ai: Any, fakes: Fakes) -> None:
    first = ai.responses.create(**ASKED)
    question = next(iter(ai.responses.input_items.list(first.id)))
    again: Any = [
        {"type": "item_reference", "id": question.id},
        {"id": first.output[0].id},
        {"role": "user", "content": "!"},
    ]
    ai.responses.create(model="base", input=again)
    assert fakes.calls[1].messages == (Message("user", "hi"), Message("assistant", "hello"), Message("user", "!"))
    with pytest.raises(openai.BadRequestError, match="twice"):
        ai.responses.create(model="base", input=[*again, again[0]])
    for id in (first.output[0].id[:-1] + "9", "msg_" + "0" * 36, "rs_1"):
        with pytest.raises(openai.NotFoundError, match=r"There is no item .* Send the item itself"):
            ai.responses.create(model="base", input=[{"type": "item_reference", "id": str(id)}])


def test_references_to_one_response_read_it_once(ai: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ai.responses.create(**ASKED)
    ids = [next(iter(ai.responses.input_items.list(first.id))).id, first.output[0].id]
    read: list[str] = []
    find = ResponseStorage.find

    def counted(self: ResponseStorage, owner: str, response_id: str) -> StoredResponse:
        read.append(response_id)
        return find(self, owner, response_id)

    monkeypatch.setattr(ResponseStorage, "find", counted)
    ai.responses.create(model="base", input=[{"type": "item_reference", "id": id} for id in ids])
    assert read == [first.id]


def test_later_responses_carry_no_results_log_probabilities_and_passages(ai: Any) -> None:
    include: Any = ["file_search_call.results", "message.output_text.logprobs"]
    first = ai.responses.create(**ASKED, tools=[SEARCH], include=include)
    cites = ai.responses.create(model="rag/base", input="hi", previous_response_id=first.id)
    last = ai.responses.create(model="base", input="and?", previous_response_id=cites.id)
    items = [item.to_dict() for item in ai.responses.input_items.list(last.id, order="asc")]
    search, found, cited = items[1], items[2]["content"][0], items[4]["content"][0]
    assert (search["type"], search["results"]) == ("file_search_call", None)
    assert (found["logprobs"], found["annotations"]) == ([], first.output[1].to_dict()["content"][0]["annotations"])
    assert cites.output[0].to_dict()["content"][0]["annotations"][0]["text"]
    assert (cited["annotations"][0]["title"], cited["annotations"][0]["text"]) == ("ray", "")
    assert ai.responses.retrieve(first.id).to_dict() == first.to_dict()


def test_what_is_not_to_be_kept_is_not(ai: Any, tmp_path: Path) -> None:
    answer = ai.responses.create(**ASKED, store=False)
    assert answer.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError, match="There is no response"):
        ai.responses.retrieve(answer.id)
    with pytest.raises(openai.BadRequestError) as refused:
        ai.responses.create(model="base", input="and?", previous_response_id=answer.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    assert not (tmp_path / "responses").exists()
