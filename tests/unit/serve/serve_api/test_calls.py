"""Ids of requests, and deadlines."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.errors import DeadlineExceeded
from serve_api.fakes import CHAT, Fakes, error_of, post


def test_a_request_has_one_id_in_its_header_its_answer_and_its_call(client: TestClient, fakes: Fakes) -> None:
    body = post(client, "/v1/chat/completions", CHAT, **{"X-Request-Id": "job-7.a_B"})
    assert body["id"] == "chatcmpl-job-7.a_B"
    assert fakes.calls[0].request_id == "job-7.a_B"
    made = client.post("/v1/completions", json={"model": "base", "prompt": "x"})
    assert len(made.headers["x-request-id"]) == 32
    assert made.json()["id"] == f"cmpl-{made.headers['x-request-id']}"
    assert client.get("/v1/nothing").headers["x-request-id"]


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "id{}"])
def test_an_id_that_is_none_is_replaced_and_gets_no_second_header(client: TestClient, fakes: Fakes, bad: str) -> None:
    # Ray Serve's proxy adds to every response the id that the client sent.
    response = client.post("/v1/completions", json={"model": "base", "prompt": "x"}, headers={"X-Request-Id": bad})
    assert "x-request-id" not in response.headers
    assert response.json()["id"] == f"cmpl-{fakes.calls[0].request_id}"
    assert len(fakes.calls[0].request_id) == 32


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/chat/completions", CHAT | {"n": 73}, "n"),
        ("/v1/completions", {"model": "base", "prompt": ["a"] * 37, "n": 2}, "n"),
        ("/v1/completions", {"model": "base", "prompt": ["a"] * 73}, "prompt"),
    ],
)
def test_more_choices_than_the_server_can_ever_hold_are_400(
    client: TestClient, fakes: Fakes, path: str, body: dict[str, Any], field: str
) -> None:
    status, error = error_of(client, path, body)
    assert (status, error["param"], error["code"]) == (400, field, "invalid_input")
    assert "this server holds 72 at once" in error["message"]
    assert fakes.calls == []
    assert len(post(client, "/v1/chat/completions", CHAT | {"n": 72})["choices"]) == 72


def test_a_deadline_is_the_clients_or_the_servers(client: TestClient, fakes: Fakes) -> None:
    post(client, "/v1/chat/completions", CHAT, **{"X-Request-Timeout": "2.5"})
    post(client, "/v1/chat/completions", CHAT)
    assert [call.deadline_s for call in fakes.calls] == [2.5, 60.0]
    for bad in ("0", "soon", "inf", "-1", "nan"):
        status, error = error_of(client, "/v1/chat/completions", CHAT, **{"X-Request-Timeout": bad})
        assert (status, error["code"]) == (400, "invalid_input")


def test_nothing_until_the_deadline_is_a_504_also_when_nobody_answers(client: TestClient, fakes: Fakes) -> None:
    fakes.seconds = 30
    for body in (CHAT, CHAT | {"n": 2}, CHAT | {"stream": True}):
        status, error = error_of(client, "/v1/chat/completions", body, **{"X-Request-Timeout": "0.05"})
        assert (status, error["code"]) == (504, DeadlineExceeded.code)
    assert fakes.closed == len(fakes.calls)
