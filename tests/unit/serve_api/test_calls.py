"""Ids of requests, and deadlines."""

from fastapi.testclient import TestClient

from plait.errors import DeadlineExceeded
from serve_api.fakes import CHAT, Fakes, error_of, post


def test_a_request_has_one_id_in_its_header_its_answer_and_its_call(client: TestClient, fakes: Fakes) -> None:
    body = post(client, "/v1/chat/completions", CHAT, **{"X-Request-Id": "job-7.a_B"})
    assert body["id"] == "chatcmpl-job-7.a_B"
    assert fakes.calls[0].request_id == "job-7.a_B"
    for bad in ("", "a b", "x" * 129, "id{}"):
        response = client.post("/v1/completions", json={"model": "base", "prompt": "x"}, headers={"X-Request-Id": bad})
        made = response.headers["x-request-id"]
        assert len(made) == 32
        assert response.json()["id"] == f"cmpl-{made}"
    assert client.get("/v1/nothing").headers["x-request-id"]


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
