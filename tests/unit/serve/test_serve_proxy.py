"""What Ray Serve's proxy says when the replica of the API dies."""

import json

import pytest
from ray.serve._private import constants
from ray.serve._private.http_util import validate_http_proxy_callback_return
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from plait.serve.api.error_shapes import AnthropicError
from plait.serve.api.responses.events import ErrorEvent
from plait.serve.proxy import UnfinishedAnswers, middlewares

EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


def answering(*messages: Message) -> TestClient:
    """The middleware around an application that sends these messages, and no more."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return TestClient(UnfinishedAnswers(app), raise_server_exceptions=False)


def start(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def body(content: bytes, more: bool) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def test_an_answer_that_is_never_begun_is_503_and_says_when_to_come_back() -> None:
    response = answering().post("/v1/chat/completions", json={})
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert response.json()["error"]["code"] == "unavailable"


def test_a_stream_that_is_cut_ends_with_an_error_event() -> None:
    cut = b'data: {"choices": []}\n\ndata: {"choi'
    response = answering(start(EVENTS), body(cut, more=True)).get("/")
    *_, error, done, end = response.text.split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "unavailable"
    assert (done, end) == ("data: [DONE]", "")


def test_a_stream_of_responses_or_messages_ends_in_their_shapes() -> None:
    cut = b'event: a\ndata: {"sequence_number":7,"type":"a"}\n\nevent: b\ndata: {"sequence_number":8,"type":"b"}\n\n'
    for path, kind in (("/v1/responses", ErrorEvent), ("/v1/messages", AnthropicError)):
        response = answering(start(EVENTS), body(cut, more=True)).post(path, json={})
        assert "[DONE]" not in response.text
        event, _, data = response.text.rstrip().rpartition("\n\n")[2].partition("\ndata: ")
        assert event.strip() == "event: error"
        error = kind.model_validate_json(data)
        assert error.sequence_number == 9 if isinstance(error, ErrorEvent) else error.error.type == "overloaded_error"
    never_begun = answering().post("/v1/messages", json={})
    assert (never_begun.status_code, never_begun.json()["error"]["type"]) == (503, "overloaded_error")


@pytest.mark.parametrize("header", [EVENTS, (b"content-type", b"application/json")])
def test_a_finished_answer_is_left_as_it_is(header: tuple[bytes, bytes]) -> None:
    response = answering(start(header), body(b"a", more=True), body(b"b", more=False)).get("/")
    assert (response.status_code, response.text) == (200, "ab")


async def test_nothing_is_sent_to_a_client_that_has_left() -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await UnfinishedAnswers(app)({"type": "http"}, receive, send)
    assert sent == []


def test_serve_takes_what_it_loads_by_its_variable() -> None:

    assert validate_http_proxy_callback_return(middlewares())
    assert hasattr(constants, "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH")
