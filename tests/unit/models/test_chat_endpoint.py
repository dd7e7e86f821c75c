"""A model behind an endpoint: what is sent, what is repeated, and what is said when it does not answer."""

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from plait.errors import Overloaded, PlaitError, Unauthorized, Unavailable
from plait.local.process import free_port
from plait.models.chat_endpoint import ChatEndpoint
from plait.models.message import Message, ToolCall

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
}
Reply = tuple[int, Any, dict[str, str]]


@contextmanager
def endpoint(reply: Callable[[int], Reply]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An API that answers its n-th request by `reply(n)`; its address, and the requests that it got."""
    asked: list[dict[str, Any]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body | {"key": self.headers["authorization"], "task": self.headers["x-openwebui-task"]})
            status, said, headers = reply(len(asked))
            page = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            kind = "text/html" if isinstance(said, str) else "application/json"
            for name, value in (headers | {"Content-Type": kind, "Content-Length": str(len(page))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args: Any) -> None:
            """Nothing: pytest's output is for tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()


async def ask(model: ChatEndpoint) -> str:
    async with model:
        return (await model.generate([Message("user", "is it?")], 4)).text


async def test_a_conversation_is_sent_whole_with_the_key() -> None:
    messages = [
        Message("user", "the weather?"),
        Message("assistant", "", (ToolCall("c1", "weather", '{"city": "Oslo"}'),)),
        Message("tool", "rain", tool_call_id="c1"),
    ]
    with endpoint(lambda _: (200, ANSWER, {})) as (url, asked):
        async with ChatEndpoint("m", url, "secret") as model:
            made = await model.generate(messages, 9, {"type": "object"})
    assert (made.text, made.is_cut, made.prompt_tokens) == ("yes", False, None)
    (body,) = asked
    assert (body["key"], body["model"], body["max_tokens"], body["temperature"]) == ("Bearer secret", "m", 9, 0)
    assert body["task"] is None
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert body["messages"][2] == {"role": "tool", "content": "rain", "tool_call_id": "c1"}
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


async def test_a_server_is_told_what_is_asked_for_no_user() -> None:
    with endpoint(lambda _: (200, ANSWER, {})) as (url, asked):
        await ask(ChatEndpoint("m", url, task="judging"))
    assert asked[0]["task"] == "judging"


async def test_a_server_that_is_busy_for_a_moment_is_asked_again() -> None:
    soon = {"retry-after-ms": "1"}
    with endpoint(lambda n: (200, ANSWER, {}) if n > 2 else (429, {}, soon)) as (url, asked):
        assert await ask(ChatEndpoint("m", url)) == "yes"
    assert len(asked) == 3


async def test_one_that_stays_busy_is_said_after_the_retries() -> None:
    refusal = {"error": {"message": "64 requests are waiting already."}}
    with (
        endpoint(lambda _: (429, refusal, {"retry-after-ms": "1"})) as (url, asked),
        pytest.raises(Overloaded, match=r"^64 requests are waiting already"),
    ):
        await ask(ChatEndpoint("m", url, retries=2))
    assert len(asked) == 3


async def test_a_key_that_is_refused_is_said_and_where_it_is_for_a_server_of_ours() -> None:
    with endpoint(lambda _: (401, {"error": {"message": "The key is wrong."}}, {})) as (url, _):
        with pytest.raises(Unauthorized, match=r"^The key is wrong.$"):
            await ask(ChatEndpoint("m", url))
        with pytest.raises(Unauthorized, match=r"^The key is wrong. Here that is PLAIT_API_KEY.$"):
            await ask(ChatEndpoint.served("m", url.removesuffix("/v1")))


async def test_no_server_is_said_with_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=rf"^No server answers at {url}/v1 .*Check its address"):
        await ask(ChatEndpoint("m", f"{url}/v1", retries=0))
    with pytest.raises(Unavailable, match="Start one: plait serve"):
        await ask(ChatEndpoint.served("m", url))


def said(content: Any, **usage: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}}], "usage": usage}


@pytest.mark.parametrize(
    "page",
    [
        "<html>hello</html>",
        {"greeting": "hello"},
        {"choices": []},
        {"choices": [{"message": None}]},
        said(["parts"]),
        said("yes", prompt_tokens="many"),
        said("yes", completion_tokens=1e30),
        "[" * 100_000,
    ],
    ids=["html", "json", "no choice", "no message", "no text", "no number", "no count", "deep"],
)
async def test_a_page_that_is_no_answer_is_said(page: Any) -> None:
    with (
        endpoint(lambda _: (200, page, {})) as (url, _),
        pytest.raises(PlaitError, match="does not answer as OpenAI's API does"),
    ):
        await ask(ChatEndpoint("m", url))


async def test_half_a_character_at_the_end_of_a_reply_is_replaced() -> None:
    with endpoint(lambda _: (200, said("yes \ud83d", prompt_tokens=3), {})) as (url, _):
        assert await ask(ChatEndpoint("m", url)) == "yes ?"


async def test_one_that_is_forgotten_does_not_close_itself_when_it_is_collected() -> None:
    # It would do so in a task, after its sockets, whose numbers other connections of this loop may have by then.
    with endpoint(lambda _: (200, ANSWER, {})) as (url, _):
        model = ChatEndpoint("m", url)
        await model.generate([Message("user", "is it?")], 4)
    tasks = asyncio.all_tasks()
    del model
    gc.collect()
    assert asyncio.all_tasks() == tasks
