"""Bodies that are too large, too slow, or hold what no route can take: refused before they are parsed."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from plait.serve.api.services import deployments, services
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import RequestLimits
from serve_api.fakes import CHAT, WEATHER, Fakes

JSON = {"content-type": "application/json"}
LIMITS = RequestLimits(body_bytes=20_000, batch_body_bytes=40_000, body_values=1_000, body_timeout_s=0.2)


def api_of(fakes: Fakes, limits: RequestLimits | None = None) -> FastAPI:
    api = build_api(limits)
    api.dependency_overrides |= {services: lambda: fakes, deployments: lambda: fakes}
    return api


@pytest.fixture
def limited(fakes: Fakes) -> TestClient:
    return TestClient(api_of(fakes, LIMITS), raise_server_exceptions=False)


def refused(client: TestClient, path: str, body: str | bytes | Iterator[bytes], status: int = 400) -> dict[str, Any]:
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"]
    error: dict[str, Any] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


# ------------------------------------------------------------ sizes


def in_pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 1_000):
        yield b"x" * 1_000


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/v1/chat/completions", 20_000),
        ("/v1/vector_stores/docs/search", 20_000),
        ("/v1/load_lora_adapter", 20_000),
        ("/v1/nothing", 20_000),
        ("/v1/embeddings", 40_000),
        ("/v2/rerank", 40_000),
        ("/v1/vector_stores/docs/file_batches", 40_000),
    ],
)
def test_a_body_that_is_too_large_is_413_whether_it_says_its_length_or_not(
    limited: TestClient, path: str, most: int
) -> None:
    for body in (b"x" * (most + 1_000), in_pieces(most + 1_000)):
        error = refused(limited, path, body, 413)
        assert error["code"] == "too_large"
        assert f"{most:,} bytes" in error["message"]
        assert "limits." in error["message"]
    assert limited.post(path, content=b"x" * most, headers=JSON).status_code != 413
    assert limited.post(path, content=in_pieces(most), headers=JSON).status_code != 413


def test_what_is_too_large_is_not_read_to_its_end(fakes: Fakes) -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1_000, "more_body": read < 100}

    status = asyncio.run(status_of(api_of(fakes, LIMITS), receive))
    assert (status, read) == (413, 21)


async def status_of(api: FastAPI, receive: Any, path: str = "/v1/chat/completions") -> int:
    status = 0

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "state": {}}
    await api(scope, receive, send)
    return status


def test_a_body_of_too_many_values_is_413_before_each_of_them_is_an_error(limited: TestClient) -> None:
    for body in (
        '{"messages": [' + "1," * 2_000 + "1]}",
        "[" + "{}," * 1_001 + "{}]",
        '{"a": ["' + '","' * 1_000 + '"]}',
    ):
        assert "1,000 values" in refused(limited, "/v1/chat/completions", body, 413)["message"]


def test_the_worst_body_that_passes_costs_little(client: TestClient) -> None:
    started = time.process_time()
    refused(client, "/v1/embeddings", '{"input": [' + "1," * 49_000 + "1]}")
    assert time.process_time() - started < 3.0  # 0.5 s


# ------------------------------------------------------------ times


def test_a_body_that_stalls_is_408_and_the_connection_is_closed(fakes: Fakes) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(5)
        raise AssertionError

    async def one_byte_at_a_time() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().time() < ends
        return {"type": "http.request", "body": b"x", "more_body": True}

    ends = time.monotonic() + 5
    for slow in (receive, one_byte_at_a_time):
        assert asyncio.run(status_of(api_of(fakes, LIMITS), slow)) == 408


# ------------------------------------------------------------ texts

HALF = r"\ud83d"
BODIES = [
    (
        "/v1/chat/completions",
        '{"model": "base", "messages": [{"role": "user", "content": "a%s"}]}',
        "messages.0.content",
    ),
    ("/v1/chat/completions", '{"model": "base%s", "messages": []}', "model"),
    ("/v1/chat/completions", '{"model": "base", "stop": ["x", "%s"]}', "stop.1"),
    (
        "/v1/chat/completions",
        '{"tools": [{"function": {"parameters": {"properties": {"%s": 1}}}}]}',
        "tools.0.function.parameters.properties",
    ),
    ("/v1/completions", '{"model": "base", "prompt": "%s"}', "prompt"),
    ("/v1/tokenize", '{"prompt": "%s"}', "prompt"),
    ("/v1/embeddings", '{"model": "embedding", "input": ["a", "%s"]}', "input.1"),
    ("/v1/rerank", '{"model": "reranker", "query": "a", "documents": ["a", {"text": "%s"}]}', "documents.1.text"),
    ("/v2/rerank", '{"model": "reranker", "query": "%s", "documents": ["a"]}', "query"),
    ("/v1/retrieve", '{"query": "%s"}', "query"),
    ("/v1/rag/query", '{"query": "x", "retrieval": {"tenant": "%s"}}', "retrieval.tenant"),
    (
        "/v1/vector_stores/docs/search",
        '{"query": "x", "filters": {"type": "eq", "key": "%s", "value": 1}}',
        "filters.key",
    ),
    ("/v1/vector_stores/docs/files", '{"file_id": "x", "attributes": {"a": "%s"}}', "attributes.a"),
    ("/v1/load_lora_adapter", '{"lora_name": "x", "lora_path": "%s"}', "lora_path"),
]


@pytest.mark.parametrize(("path", "body", "field"), BODIES)
def test_half_a_character_is_400_and_names_the_field_on_every_route(
    client: TestClient, path: str, body: str, field: str
) -> None:
    for half in (HALF, r"\uDE00", r"ok \uD83D.\uDE00", r"\ud83d\ud83d"):
        error = refused(client, path, body % half)
        assert error["code"] == "invalid_input"
        assert error["param"].startswith(field)
        assert "half a character" in error["message"]


def test_a_whole_character_written_as_two_escapes_is_text(client: TestClient, fakes: Fakes) -> None:
    body = r'{"model": "base", "messages": [{"role": "user", "content": "\ud83d\ude00 \\ud83d"}]}'
    assert client.post("/v1/chat/completions", content=body, headers=JSON).status_code == 200
    assert fakes.calls[0].messages is not None
    assert fakes.calls[0].messages[0].content == "\U0001f600 \\ud83d"


@pytest.mark.parametrize("text", [b"\xed\xa0\xbd", b"\xff", "é".encode("latin-1")])
def test_bytes_that_are_not_utf_8_are_400(client: TestClient, text: bytes) -> None:
    body = b'{"model": "base", "prompt": "' + text + b'"}'
    assert refused(client, "/v1/completions", body)["message"].startswith("The body is not UTF-8 (byte 29)")
    assert "UTF-8" in refused(client, "/v1/completions", '{"model": "base"}'.encode("utf-16"))["message"]


# ------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/vector_stores/docs/files", '{"file_id": "file-1", "attributes": {"x": %s}}', "attributes.x"),
        (
            "/v1/vector_stores/docs/file_batches",
            '{"files": [{"file_id": "a", "attributes": {"x": %s}}]}',
            "files.0.attributes.x",
        ),
        (
            "/v1/vector_stores/docs/search",
            '{"query": "x", "filters": {"type": "eq", "key": "x", "value": %s}}',
            "filters.value",
        ),
        (
            "/v1/vector_stores/docs/search",
            '{"query": "x", "filters": {"type": "in", "key": "x", "value": [1, %s]}}',
            "filters.value.1",
        ),
        ("/v1/retrieve", '{"query": "x", "min_score": %s}', "min_score"),
        ("/v1/chat/completions", '{"model": "base", "temperature": %s}', "temperature"),
    ],
)
def test_a_number_that_is_not_finite_is_400_and_names_the_field(
    client: TestClient, path: str, body: str, field: str
) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e400", "-1e999"):
        error = refused(client, path, body % number)
        assert (error["param"], error["code"]) == (field, "invalid_input")
        assert "not a finite number" in error["message"]
    for number in ("18446744073709551616", "-9223372036854775809", "9" * 4_000):
        error = refused(client, path, body % number)
        assert (error["param"], "64 bits" in error["message"]) == (field, True)
    assert "digits" in refused(client, path, body % ("9" * 5_000))["message"]


# ------------------------------------------------------------ levels


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"a":' * 100_000, "[" * 101 + "]" * 101, '{"messages": ' + "[" * 3_000]
)
def test_a_body_that_is_nested_too_deeply_is_400(client: TestClient, body: str) -> None:
    for path in ("/v1/chat/completions", "/v1/load_lora_adapter", "/v1/vector_stores/docs/search"):
        assert refused(client, path, body)["message"] == "The body is nested too deeply. Use 100 levels at most."


def test_a_schema_of_forty_objects_one_in_another_is_not_too_deep(client: TestClient, fakes: Fakes) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"a": schema}}
    tool = {"type": "function", "function": WEATHER["function"] | {"parameters": schema}}  # type: ignore[operator]
    assert client.post("/v1/chat/completions", json=CHAT | {"tools": [tool]}).status_code == 200
