"""Connections that never send the head of a request, at a real uvicorn server."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn import config

from plait.serve.request_heads import PromptHeads, close_without_heads

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n"
REQUEST = HEAD + b"\r\n"
LOOK_S = 0.2
WORK_S = 5 * LOOK_S


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptHeads, "look_every_s", LOOK_S)
    monkeypatch.setitem(config.HTTP_PROTOCOLS, "auto", config.HTTP_PROTOCOLS["auto"])
    close_without_heads()


@pytest.fixture
def port(quick_looks: None) -> Iterator[int]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(WORK_S if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    # In the main thread uvicorn would handle signals, and at its end leave those of a finished event loop to others.
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(("is_used", "sent"), [(False, b""), (False, b"G"), (False, HEAD), (True, b"G"), (True, HEAD)])
async def test_a_connection_without_a_whole_head_is_closed(port: int, is_used: bool, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if is_used:
        writer.write(REQUEST)
        assert b"204 No Content" in await reader.readuntil(b"\r\n\r\n")
    writer.write(sent)
    async with asyncio.timeout(20 * LOOK_S):
        assert await reader.read() == b""  # until it is closed
    writer.close()


async def test_a_head_that_comes_in_drops_is_not_waited_for(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"x: ")
    closed = asyncio.create_task(reader.read())
    async with asyncio.timeout(20 * LOOK_S):
        while not closed.done():
            writer.write(b"a")
            await asyncio.wait([closed], timeout=LOOK_S / 3)
    assert isinstance(closed.exception(), ConnectionError | None)
    writer.close()


async def test_a_request_may_take_longer_than_its_head_and_a_connection_is_used_again(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in (b"/slow", b"/", b"/slow"):
        writer.write(REQUEST.replace(b" / ", b" " + path + b" "))
        assert b"204 No Content" in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(3 * LOOK_S)  # idle after an answer: uvicorn's own limit, of seconds
    writer.close()
