"""Responses that are made in the background: begun at once, bounded, seen by their key, ended by `cancel`."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient
from opentelemetry.trace import INVALID_SPAN

from plait.errors import InsufficientStorage, InvalidField, ModelNotFound, NotFound, Overloaded
from plait.observability.tracing import Step
from plait.serve.api.request_context import RequestContext
from plait.serve.api.responses import routes
from plait.serve.api.responses.cancellation import UnderWay
from plait.serve.api.responses.conversations import Conversations
from plait.serve.api.responses.requests import ResponseRequest
from plait.serve.api.responses.storage import ResponseStorage
from plait.serve.messages.arguments import AppArguments, LLMArguments, ResponseArguments
from plait.serve.messages.calls import Call, Event
from serve_api.fakes import Fakes, error_of

ASKED: dict[str, Any] = {"model": "base", "input": "hi", "background": True}


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    with changed_settings(home=tmp_path):
        routes._background.cache_clear()  # it is of one event loop
        yield tmp_path


class Gate:
    """Answers begin, and go on when it opens."""

    def __init__(self, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.begun = 0
        monkeypatch.setattr(fakes, "answer", self._answer)

    async def _answer(self, call: Call) -> AsyncGenerator[Event]:
        self.begun += 1
        yield Event("he", 1, 1, None, "base")
        await self.opened.wait()
        yield Event("llo", 1, 2, "stop", "base")


@pytest.fixture
def gate(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(fakes, monkeypatch)


def of(owner: str = "a", **limits: Any) -> Conversations:
    """What a replica has for an owner."""
    return Conversations(ResponseStorage(ResponseArguments(**limits)), owner, UnderWay())


async def asked(fakes: Fakes, conversations: Conversations, **change: Any) -> dict[str, Any]:
    context = RequestContext("1", None, Step(INVALID_SPAN, ""), "http://here")
    body = ResponseRequest(**ASKED | change)
    answer: Any = await routes.create_response(body, fakes, conversations, context)
    return dict(json.loads(answer.body))


async def until(status: str, response: dict[str, Any], conversations: Conversations) -> dict[str, Any]:
    for _ in range(200):
        kept = (await conversations.find(response["id"])).response
        if kept["status"] == status:
            return kept
        await asyncio.sleep(0.01)
    raise AssertionError(kept)


async def test_a_response_is_there_at_once_and_whole_when_it_is_made(fakes: Fakes, gate: Gate, home: Path) -> None:
    here, elsewhere = of(), of()
    first = await asked(fakes, here, metadata={"a": "b"})
    assert (first["status"], first["background"], first["output"], first["usage"]) == ("queued", True, [], None)
    assert fakes.calls == []
    await until("in_progress", first, here)
    assert (await elsewhere.find(first["id"])).response["status"] == "in_progress"
    gate.opened.set()
    last = await until("completed", first, elsewhere)
    assert last["output"][0]["content"][0]["text"] == "hello"
    assert (last["id"], last["created_at"], last["metadata"]) == (first["id"], first["created_at"], {"a": "b"})
    with pytest.raises(NotFound):
        await of("b").find(first["id"])
    goes_on = await asked(fakes, here, previous_response_id=first["id"])
    await until("completed", goes_on, here)
    while list((home / "responses" / ".under_way").iterdir()):
        await asyncio.sleep(0.01)


async def test_what_is_still_made_is_not_gone_on_with(fakes: Fakes, gate: Gate) -> None:
    here = of()
    first = await asked(fakes, here)
    with pytest.raises(InvalidField, match="still being made"):
        await asked(fakes, here, previous_response_id=first["id"])
    await here.ended(first["id"])


async def test_more_than_may_be_generated_at_once_wait_and_more_than_may_wait_are_refused(
    fakes: Fakes, gate: Gate
) -> None:
    fakes.arguments = AppArguments(
        llm=LLMArguments(max_batch_size=1), responses=ResponseArguments(max_background=2), default_timeout_s=60.0
    )
    here = of()
    first, second = [await asked(fakes, here) for _ in range(2)]
    await until("in_progress", first, here)
    assert (await here.find(second["id"])).response["status"] == "queued"
    with pytest.raises(Overloaded, match="2 answers"):
        await asked(fakes, here)
    other = await asked(fakes, of("b"))
    assert gate.begun == 1
    ended = (await here.ended(second["id"])).response  # before its turn
    assert (ended["status"], ended["output"]) == ("cancelled", [])
    gate.opened.set()
    await until("completed", first, here)
    await until("completed", other, of("b"))
    assert gate.begun == 2
    await until("completed", await asked(fakes, here), here)


async def test_it_is_cancelled_on_any_replica_with_what_there_is_and_forgotten_for_good(
    fakes: Fakes, gate: Gate
) -> None:
    here, elsewhere = of(), of()
    first = await asked(fakes, here)
    await until("in_progress", first, here)
    for _ in range(2):
        answer: Any = await routes.cancel_response(first["id"], elsewhere)
        ended = json.loads(answer.body)
        assert (ended["status"], ended["output"][0]["content"][0]["text"]) == ("cancelled", "he")
    second = await asked(fakes, here)
    await until("in_progress", second, here)
    await routes.delete_response(second["id"], here)
    await asyncio.sleep(0.1)
    with pytest.raises(NotFound):
        await here.find(second["id"])


async def test_one_that_fails_says_why(fakes: Fakes) -> None:
    fakes.error = ModelNotFound("There is no 'x'.")
    here = of()
    failed = await until("failed", await asked(fakes, here), here)
    assert failed["error"] == {"code": "server_error", "message": "There is no 'x'."}


async def test_one_whose_replica_was_killed_has_failed(fakes: Fakes, gate: Gate, home: Path) -> None:
    here, elsewhere = of(), of()
    first = await asked(fakes, here)
    await until("in_progress", first, here)
    (mark,) = (home / "responses" / ".under_way").iterdir()
    os.utime(mark, (mark.stat().st_mtime - 120,) * 2)  # nobody has renewed it
    lost = (await elsewhere.find(first["id"])).response
    assert (lost["status"], lost["error"]["code"]) == ("failed", "server_error")
    assert "Ask again" in lost["error"]["message"]
    with pytest.raises(Exception, match="cannot be cancelled: it is failed"):
        await routes.cancel_response(first["id"], elsewhere)
    await here.ended(first["id"])


async def test_one_that_cannot_be_kept_is_not_begun(fakes: Fakes, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidField, match="keeps no responses"):
        await asked(fakes, of(max_count=0))
    with pytest.raises(Exception, match="larger than all"):
        await asked(fakes, of(max_bytes=10))

    def full(*_: Any) -> bool:
        raise InsufficientStorage("full")

    monkeypatch.setattr(ResponseStorage, "keep", full)
    with pytest.raises(InsufficientStorage):
        await asked(fakes, of())
    await asyncio.sleep(0)
    assert gate.begun == 0


def test_what_does_not_go_with_it_is_a_sentence(client: TestClient) -> None:
    for field, value, sentence in (("stream", True, "is not streamed"), ("store", False, "is kept")):
        status, error = error_of(client, "/v1/responses", ASKED | {field: value})
        assert (status, error["param"]) == (400, field)
        assert sentence in error["message"]
