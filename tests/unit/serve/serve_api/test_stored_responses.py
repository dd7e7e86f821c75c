"""Responses that are kept: for how long, how many, for whom, and how one that is under way is ended."""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient
from opentelemetry.trace import INVALID_SPAN

from plait import api_keys
from plait.errors import InsufficientStorage, NotFound
from plait.observability.tracing import Step
from plait.scope import Scope
from plait.serve.api.request_context import RequestContext
from plait.serve.api.responses import cancellation, tidying
from plait.serve.api.responses import routes as responses
from plait.serve.api.responses.cancellation import Cancelled, UnderWay
from plait.serve.api.responses.conversations import Conversations
from plait.serve.api.responses.requests import ResponseRequest
from plait.serve.api.responses.storage import ResponseStorage, StoredResponse, new_response_id
from plait.serve.messages.arguments import ResponseArguments
from plait.serve.messages.calls import Call, Event
from serve_api.fakes import Fakes, error_of, post

ASKED: dict[str, Any] = {"model": "base", "input": "hi"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    with changed_settings(home=tmp_path):
        yield tmp_path


def made(text: str = "x", **limits: Any) -> tuple[ResponseStorage, StoredResponse]:
    response = {"id": new_response_id(), "output": [{"text": text}]}
    return ResponseStorage(ResponseArguments(**limits)), StoredResponse([], response)


def files(home: Path) -> list[Path]:
    return sorted((home / "responses").glob("*/*.json"))


def events_in(piece: str) -> list[dict[str, Any]]:
    return [json.loads(event.partition("data: ")[2]) for event in piece.split("\n\n") if event]


def test_a_response_is_there_for_another_replica_and_after_a_restart() -> None:
    storage, one = made("é")
    assert storage.keep("a", one)
    assert ResponseStorage(ResponseArguments()).find("a", one.response["id"]) == one
    for owner, id in (("b", one.response["id"]), ("a", new_response_id()), ("a", f"../a/{one.response['id']}")):
        with pytest.raises(NotFound):
            storage.find(owner, id)


def test_the_oldest_go_when_there_are_too_many(home: Path) -> None:
    storage, _ = made(max_count=5)
    ids = []
    for age in range(9, 0, -1):
        _, one = made()
        storage.keep("a", one)
        ids.append(one.response["id"])
        path = home / "responses" / "a" / f"{ids[-1]}.json"
        if path.exists():
            os.utime(path, (path.stat().st_mtime - age,) * 2)
    storage.keep("b", one)
    assert {path.stem for path in files(home) if path.parent.name == "a"} == set(ids[-5:])


def test_the_oldest_go_when_they_are_too_large_and_one_that_is_larger_than_all_is_not_kept(home: Path) -> None:
    storage, small = made("x" * 300, max_bytes=1_000)
    for _ in range(6):
        storage.keep("a", made("x" * 300)[1])
    assert sum(path.stat().st_size for path in files(home)) <= 1_000
    assert len(files(home)) == 2
    assert not storage.keep("a", made("x" * 1_000)[1])
    assert not made(max_count=0)[0].keep("a", small)


def test_what_is_too_old_is_gone_and_goes_from_the_disk_whoever_owns_it(home: Path) -> None:
    storage, old = made(max_age_days=2)
    storage.keep("a", old)
    (path,) = files(home)
    os.utime(path, (path.stat().st_mtime - 3 * 24 * 3600,) * 2)
    with pytest.raises(NotFound, match="2 days"):
        storage.find("a", old.response["id"])
    _, new = made()
    storage.keep("b", new)
    (home / "responses" / "a file").touch()
    ResponseStorage(ResponseArguments(max_age_days=2)).sweep()
    assert [path.stem for path in files(home)] == [new.response["id"]]


def test_where_nothing_is_to_be_kept_nothing_from_before_is_found_and_a_replica_deletes_it(home: Path) -> None:
    storage, one = made()
    storage.keep("a", one)
    with pytest.raises(NotFound):
        ResponseStorage(ResponseArguments(max_count=0)).find("a", one.response["id"])
    tidying.start(ResponseArguments(max_count=0))
    for _ in range(100):
        if not files(home):
            break
        time.sleep(0.02)
    assert files(home) == []


def test_a_response_is_kept_although_old_ones_cannot_be_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(ResponseStorage, "_tidy", refuse)
    storage, one = made(max_count=1)
    assert storage.keep("a", one)


def test_half_a_file_is_no_response(home: Path) -> None:
    storage, one = made()
    storage.keep("a", one)
    (path,) = files(home)
    for content in ("", '{"items"', "[]", "3"):
        path.write_text(content)
        with pytest.raises(NotFound):
            storage.find("a", one.response["id"])


def test_others_on_the_machine_cannot_read_what_is_kept(home: Path) -> None:
    storage, one = made()
    storage.keep("a", one)
    (path,) = files(home)
    assert [each.stat().st_mode & 0o077 for each in (path, path.parent, path.parent.parent)] == [0, 0, 0]


@pytest.mark.parametrize("error", [InsufficientStorage("The disk is full."), PermissionError("read-only")])
def test_a_disk_that_takes_nothing_costs_no_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: Any) -> bool:
        raise error

    monkeypatch.setattr(ResponseStorage, "keep", full)
    answer = post(client, "/v1/responses", ASKED)
    assert (answer["status"], answer["store"]) == ("completed", False)


def test_a_response_is_seen_by_the_key_that_asked_for_it_alone(
    client: TestClient,
) -> None:
    def key(**bounds: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {api_keys.create('a test', frozenset({Scope.INFER}), **bounds)[1]}"}

    mine, other, of_a_tenant = key(), key(), key(tenant="acme")
    answer = post(client, "/v1/responses", ASKED, **mine)
    path = f"/v1/responses/{answer['id']}"
    assert client.get(path, headers=mine).json() == answer
    for headers in (other, of_a_tenant):
        for method, at in (("GET", path), ("GET", f"{path}/input_items"), ("DELETE", path), ("POST", f"{path}/cancel")):
            assert client.request(method, at, headers=headers).status_code == 404
        goes_on = ASKED | {"previous_response_id": answer["id"]}
        status, error = error_of(client, "/v1/responses", goes_on, **headers)
        assert (status, error["code"]) == (400, "previous_response_not_found")
        refers = {"model": "base", "input": [{"type": "item_reference", "id": answer["output"][0]["id"]}]}
        assert error_of(client, "/v1/responses", refers, **headers)[0] == 404
    assert client.get(path, headers=mine).status_code == 200


# ------------------------------------------------------------ answers under way


async def endless() -> AsyncGenerator[int]:
    yield 0
    await asyncio.sleep(60)


async def test_an_answer_is_ended_while_its_next_event_is_waited_for_or_before() -> None:
    under_way = UnderWay()
    async with under_way.entered("a") as ending:
        events = endless()
        assert await ending.next(events) == 0
        asyncio.get_running_loop().call_later(0.05, ending.want)
        with pytest.raises(Cancelled):
            await ending.next(events)
        with pytest.raises(Cancelled):
            await ending.next(endless())


async def test_an_answer_that_takes_a_while_to_end_may_be_ended_twice() -> None:
    async def slow_to_close() -> AsyncGenerator[int]:
        try:
            yield 0
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)

    async def end_twice() -> None:
        for _ in range(2):
            await asyncio.sleep(0.05)
            assert await under_way.cancel("a")

    under_way = UnderWay()
    async with under_way.entered("a") as ending:
        events = slow_to_close()
        await ending.next(events)
        twice = asyncio.create_task(end_twice())
        with pytest.raises(Cancelled):
            await ending.next(events)
        await twice


async def test_an_answer_is_ended_by_another_replica(home: Path) -> None:
    here, elsewhere = UnderWay(), UnderWay()
    async with here.entered("a") as ending:
        events = endless()
        await ending.next(events)
        assert await elsewhere.cancel("a")
        assert await elsewhere.cancel("a")
        with pytest.raises(Cancelled):
            await asyncio.wait_for(ending.next(events), 10)
    while list((home / "responses").glob(".*/*")):
        await asyncio.sleep(0.02)
    assert not await elsewhere.cancel("a")
    assert list((home / "responses").glob(".*/*")) == []


async def test_a_look_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = [PermissionError("not now"), {"a"}]

    def wished() -> set[str]:
        look = looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return set(look)

    monkeypatch.setattr(cancellation, "_wished", wished)
    monkeypatch.setattr(cancellation, "_LOOK_FOR_WISHES_EVERY_S", 0.01)
    async with UnderWay().entered("a") as ending:
        events = endless()
        await ending.next(events)
        with pytest.raises(Cancelled):
            await asyncio.wait_for(ending.next(events), 10)


def test_marks_of_replicas_that_were_killed_are_removed(home: Path) -> None:
    for folder in (".under_way", ".cancel"):
        (home / "responses" / folder).mkdir(parents=True)
        for name, age_s in (("old", 120), ("new", 0)):
            file = home / "responses" / folder / name
            file.touch()
            os.utime(file, (time.time() - age_s,) * 2)
    cancellation.forget_old()
    assert {file.name for file in (home / "responses").glob(".*/*")} == {"new"}


async def test_a_timeout_of_what_makes_the_events_is_no_cancellation() -> None:
    async def late() -> AsyncGenerator[int]:
        yield 0
        raise TimeoutError

    async with UnderWay().entered("a") as ending:
        events = late()
        await ending.next(events)
        with pytest.raises(TimeoutError):
            await ending.next(events)


async def test_a_stream_that_is_cancelled_ends_its_generation_and_is_kept_as_far_as_it_came(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def slow(call: Call) -> AsyncGenerator[Event]:
        try:
            yield Event("he", 1, 1, None, "base")
            await asyncio.sleep(60)
        finally:
            closed.set()

    monkeypatch.setattr(fakes, "answer", slow)
    conversations = Conversations(ResponseStorage(ResponseArguments()), "a")
    context = RequestContext("1", None, Step(INVALID_SPAN, ""), "http://here")
    body = ResponseRequest(**ASKED, stream=True)
    answer: Any = await responses.create_response(body, fakes, conversations, context)
    pieces = aiter(answer.body_iterator)
    data = events_in(await anext(pieces))[0]
    cancelling = asyncio.create_task(responses.cancel_response(data["response"]["id"], conversations))
    *_, last = [event async for piece in pieces for event in events_in(piece)]
    ended: Any = await cancelling
    assert closed.is_set()
    assert json.loads(ended.body) == last["response"]
    assert last["response"]["status"] == "cancelled"
    assert last["response"]["output"][0]["content"][0]["text"] == "he"
    again: Any = await responses.cancel_response(data["response"]["id"], conversations)
    assert json.loads(again.body) == last["response"]


def test_only_what_is_under_way_is_cancelled(client: TestClient) -> None:
    answer = post(client, "/v1/responses", ASKED)
    status, error = error_of(client, f"/v1/responses/{answer['id']}/cancel", {})
    assert (status, "it is completed" in error["message"]) == (400, True)
    assert error_of(client, "/v1/responses/resp_1/cancel", {})[0] == 404


@pytest.mark.parametrize(("change", "limits"), [({"store": False}, {}), ({}, {"max_count": 0})])
async def test_a_stream_that_is_not_kept_cannot_be_cancelled(
    fakes: Fakes, home: Path, change: dict[str, Any], limits: dict[str, Any]
) -> None:
    conversations = Conversations(ResponseStorage(ResponseArguments(**limits)), "a")
    context = RequestContext("1", None, Step(INVALID_SPAN, ""), "http://here")
    body = ResponseRequest(**ASKED | change, stream=True)
    answer: Any = await responses.create_response(body, fakes, conversations, context)
    pieces = aiter(answer.body_iterator)
    data = events_in(await anext(pieces))[0]
    with pytest.raises(NotFound):
        await asyncio.wait_for(responses.cancel_response(data["response"]["id"], conversations), 1)
    *_, last = [event async for piece in pieces for event in events_in(piece)]
    assert (last["type"], last["response"]["store"]) == ("response.completed", False)
    assert not (home / "responses").exists()


def test_an_unknown_response_is_not_waited_for(client: TestClient, home: Path) -> None:
    started = time.monotonic()
    assert error_of(client, f"/v1/responses/{new_response_id()}/cancel", {})[0] == 404
    assert time.monotonic() - started < 1
    assert not (home / "responses").exists()
