"""In how many pieces a streamed response is sent: each passes through Ray Serve's processes by itself."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[None]:
    with changed_settings(home=tmp_path):
        yield


async def pieces_of(app: ASGIApp) -> list[list[str]]:
    """The types of the events in each piece of a streamed response."""
    body = json.dumps({"model": "base", "input": "hi", "stream": True}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/responses", "query_string": b"", "headers": headers}
    asked, sent = [{"type": "http.request", "body": body}], list[str]()

    async def receive() -> Message:
        return asked.pop() if asked else await asyncio.Event().wait() or {}

    async def send(message: Message) -> None:
        sent.append(message.get("body", b"").decode())

    await app(scope, receive, send)
    return [re.findall(r"^event: (.+)$", piece, re.MULTILINE) for piece in sent if piece]


def test_events_that_are_there_together_are_sent_together(client: TestClient) -> None:
    first, *between, last = asyncio.run(pieces_of(client.app))
    assert first == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ]
    assert all(piece == ["response.output_text.delta"] for piece in between)
    assert last == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
