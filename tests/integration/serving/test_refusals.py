"""Requests that cannot be answered, a full queue, and clients that leave."""

import asyncio
from typing import Any

import httpx
import openai
import pytest

from serving.asking import MAX_WAITING, ask, metric, text_of, until


def test_an_unknown_model_is_named_with_the_nearest_also_in_a_stream(client: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError, match="Did you mean 'support'") as refused:
            ask(client, "suport", stream=stream)
        assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="'auto' has no routing policy yet"):
        ask(client, "auto")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("base", {"max_tokens": 9999}, "together exceed the context of 512 tokens"),
        ("base", {"extra_body": {"tools_": []}}, "'tools_' is not known"),
        ("no such name", {}, "is no adapter name"),
        ("rag/base", {"messages": [{"role": "system", "content": "x"}]}, "needs a message of the user"),
        ("foreign", {}, "was trained on another base model"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(
    client: openai.OpenAI, model: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        ask(client, model, **options)


async def test_a_full_queue_answers_429_with_retry_after_and_recovers(server: str, client: openai.OpenAI) -> None:
    body = {"model": "base", "prompt": "x", "max_tokens": 200, "temperature": 0}
    async with httpx.AsyncClient(timeout=120) as crowd:
        responses = await asyncio.gather(*(crowd.post(f"{server}/v1/completions", json=body) for _ in range(40)))
    statuses = {response.status_code for response in responses}
    assert statuses == {200, 429}
    refused = next(response for response in responses if response.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "overloaded"
    assert sum(response.status_code == 200 for response in responses) >= MAX_WAITING
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
    async with httpx.AsyncClient(timeout=120) as together, httpx.AsyncClient(timeout=120) as leaving:
        # Three batches are ahead of it, all that may wait: seconds, in which the metrics can be read.
        ahead = [asyncio.create_task(together.post(f"{server}/v1/completions", json=body)) for _ in range(11)]
        await asyncio.to_thread(until, lambda: metric("plait_requests_running") == len(ahead))
        mine = asyncio.create_task(leaving.post(f"{server}/v1/completions", json=body))
        await asyncio.to_thread(until, lambda: metric("plait_requests_running") == len(ahead) + 1)
        mine.cancel()
        answers = [response.json() for response in await asyncio.gather(*ahead)]
    until(lambda: metric("plait_requests_total", outcome="cancelled") == cancelled + 1)
    assert metric("plait_requests_running") == 0
    expected = sum(answer["usage"]["completion_tokens"] for answer in answers)
    assert metric("vllm:generation_tokens_total", model_name="base") - generated == expected
