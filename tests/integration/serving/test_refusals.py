"""Requests that cannot be answered, a full queue, and clients that leave."""

import asyncio
from typing import Any

import httpx
import openai
import pytest
from session_processes import session_processes

from serving.asking import ADMIN_KEY, MAX_BATCH_SIZE, MAX_WAITING, ask, metric, replicas, text_of, until


def test_an_unknown_model_is_named_with_the_nearest_also_in_a_stream(client: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError, match="Did you mean 'support'") as refused:
            ask(client, "suport", stream=stream)
        assert refused.value.code == "model_not_found"
    for odd in ("no such name", "org/base", "rag/rag/base"):
        with pytest.raises(openai.NotFoundError, match="There is no model"):
            ask(client, odd)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("base", {"max_tokens": 9999}, "together exceed the context of 512 tokens"),
        ("base", {"extra_body": {"tools_": []}}, "'tools_' is not known"),
        ("rag/base", {"messages": [{"role": "system", "content": "x"}]}, "needs a message of the user"),
        ("foreign", {}, "was trained on another base model"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(
    client: openai.OpenAI, model: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        ask(client, model, **options)


async def test_of_two_hundred_chats_a_batch_and_a_queue_are_answered_and_the_rest_told_when_to_come_back(
    server: str, client: openai.OpenAI
) -> None:
    words = [{"role": "user", "content": "x"}]
    chat = {"model": "base", "messages": words, "max_tokens": 200, "temperature": 0, "ignore_eos": True}
    unlimited = httpx.Limits(max_connections=None)
    url = f"{server}/v1/chat/completions"

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=120, limits=unlimited) as together:
            return await asyncio.gather(*(together.post(url, json=chat) for _ in range(200)))

    def resident_bytes() -> int:
        return sum(process.memory_info().rss for process in replicas())

    before = 0
    for _ in range(2):
        responses = await crowd()
        answered = [response for response in responses if response.status_code == 200]
        refused = [response for response in responses if response.status_code == 429]
        assert len(answered) + len(refused) == 200
        assert len(answered) >= MAX_BATCH_SIZE + MAX_WAITING
        assert len({response.json()["choices"][0]["message"]["content"] for response in answered}) == 1
        assert {response.json()["error"]["code"] for response in refused} == {"overloaded"}
        assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
        before = before or resident_bytes()  # the first crowd makes buffers
    assert resident_bytes() - before < 30e6
    assert metric("plait_requests_running") == metric("vllm:num_requests_waiting") == 0
    assert text_of(client, "base")


async def test_a_hundred_clients_that_leave_in_the_middle_leave_an_idle_engine(
    server: str, client: openai.OpenAI
) -> None:
    cancelled = metric("plait_requests_total", outcome="cancelled")
    body = {"prompt": "x", "max_tokens": 450, "temperature": 0, "stream": True, "ignore_eos": True}
    room = asyncio.Semaphore(MAX_BATCH_SIZE + MAX_WAITING)

    async def leave(crowd: httpx.AsyncClient, number: int) -> None:
        asked = body | {"model": ("base", "support")[number % 2]}
        async with room, crowd.stream("POST", f"{server}/v1/completions", json=asked) as response:
            assert response.status_code in (200, 429)
            await anext(response.aiter_lines())

    async with httpx.AsyncClient(timeout=120) as crowd:
        await asyncio.gather(*(leave(crowd, number) for number in range(100)))
    until(lambda: metric("plait_requests_running") == 0)
    assert metric("plait_requests_total", outcome="cancelled") - cancelled > 50
    until(lambda: metric("vllm:kv_cache_usage_perc") == 0)
    assert metric("vllm:num_requests_running") == metric("vllm:num_requests_waiting") == 0
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    cards = httpx.get(f"{server}/v1/adapters", headers=admin, timeout=30).json()["data"]
    assert {replica["requests"] for card in cards for replica in card["replicas"]} == {0}
    assert text_of(client, "base")


async def test_a_client_that_leaves_in_the_middle_of_a_stream_ends_its_generation(server: str) -> None:
    cancelled = metric("plait_requests_total", outcome="cancelled")
    generated = metric("vllm:generation_tokens_total", model_name="base")
    body = {"model": "base", "prompt": "x", "max_tokens": 500, "temperature": 0, "stream": True}
    async with (
        httpx.AsyncClient(timeout=120) as leaving,
        leaving.stream("POST", f"{server}/v1/completions", json=body) as response,
    ):
        await anext(response.aiter_lines())
    until(lambda: metric("plait_requests_total", outcome="cancelled") == cancelled + 1)
    assert metric("plait_requests_running") == 0
    assert 1 <= metric("vllm:generation_tokens_total", model_name="base") - generated < 500


async def test_a_client_that_leaves_before_its_first_token_costs_no_generation(server: str) -> None:
    cancelled = metric("plait_requests_total", outcome="cancelled")
    generated = metric("vllm:generation_tokens_total", model_name="base")
    body = {"model": "base", "prompt": "x", "max_tokens": 500, "temperature": 0, "ignore_eos": True}
    (replica,) = [
        p for p in session_processes() if " ".join(p.info["cmdline"] or []).startswith("ray::ServeReplica:plait:LLM")
    ]
    async with httpx.AsyncClient(timeout=120) as together, httpx.AsyncClient(timeout=120) as leaving:
        replica.suspend()  # nobody is answered before the last one has left
        try:
            # Three batches are ahead of it, all that may wait.
            ahead = [asyncio.create_task(together.post(f"{server}/v1/completions", json=body)) for _ in range(11)]
            await asyncio.to_thread(until, lambda: metric("plait_requests_running") == len(ahead))
            mine = asyncio.create_task(leaving.post(f"{server}/v1/completions", json=body))
            await asyncio.to_thread(until, lambda: metric("plait_requests_running") == len(ahead) + 1)
            mine.cancel()
        finally:
            replica.resume()
        answers = [response.json() for response in await asyncio.gather(*ahead)]
    until(lambda: metric("plait_requests_total", outcome="cancelled") == cancelled + 1)
    assert metric("plait_requests_running") == 0
    expected = sum(answer["usage"]["completion_tokens"] for answer in answers)
    assert metric("vllm:generation_tokens_total", model_name="base") - generated == expected
