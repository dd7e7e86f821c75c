"""Answers of the base model and of adapters, whole and streamed, and what they count."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from made_adapters import register_adapter

from serving.asking import COLLECTION, ask, metric, text_of


def test_health_readiness_and_the_api_description_answer(server: str) -> None:
    assert httpx.get(f"{server}/healthz", timeout=30).json() == {"status": "ok"}
    assert httpx.get(f"{server}/readyz", timeout=30).json() == {"status": "ready"}
    assert "/v1/chat/completions" in httpx.get(f"{server}/openapi.json", timeout=30).json()["paths"]


def test_models_lists_names_versions_and_aliases_with_and_without_retrieval(client: openai.OpenAI) -> None:
    ids = {model.id for model in client.models.list()}
    direct = {"base", "support", "support:1", "support:2", "support@champion"}
    assert direct | {f"rag/{name}" for name in direct} <= ids
    assert client.models.retrieve("rag/support").id == "rag/support"
    with pytest.raises(openai.NotFoundError, match="Did you mean 'support"):
        client.models.retrieve("suport")


def test_an_answer_has_usage_and_no_citations_without_retrieval(client: openai.OpenAI) -> None:
    answer = ask(client, "base", max_tokens=5)
    choice = answer.choices[0]
    assert choice.finish_reason in ("stop", "length")
    assert choice.message.annotations == []
    assert 1 <= answer.usage.completion_tokens <= 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.plait["route"] == {"kind": "direct", "arm": "base"}


def test_a_stream_joins_to_the_answer_that_comes_whole(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "base", stream=True, stream_options={"include_usage": True}))
    *content, usage = chunks
    assert "".join(c.choices[0].delta.content or "" for c in content) == text_of(client, "base")
    assert content[0].choices[0].delta.role == "assistant"
    assert content[-1].choices[0].finish_reason
    assert usage.usage.completion_tokens == ask(client, "base").usage.completion_tokens


def test_completions_continue_a_text_whole_and_streamed(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "base", "prompt": "the installed", "temperature": 0, "max_tokens": 8}
    whole = client.completions.create(**request)
    assert whole.usage is not None
    assert whole.usage.completion_tokens <= 8
    streamed = client.completions.create(**request, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == whole.choices[0].text


def test_adapters_answer_by_name_version_and_alias(client: openai.OpenAI) -> None:
    texts = {m: text_of(client, m) for m in ("base", "support", "support:1", "support:2", "support@champion")}
    assert texts["support"] == texts["support:2"]
    assert texts["support@champion"] == texts["support:1"]
    assert len({texts["base"], texts["support:1"], texts["support:2"]}) == 3
    assert ask(client, "support").plait["model"] == "support:2"
    assert ask(client, "rag/support@champion").plait["model"] == "support:1"


def test_a_message_of_megabytes_reaches_the_model_and_is_refused_there_by_its_length(server: str) -> None:
    for route in ("/v1/tokenize", "/v1/completions"):
        body = {"model": "base", "prompt": "installed " * 400_000}
        answer = httpx.post(f"{server}{route}", json=body, timeout=120)
        assert answer.status_code == 400
        assert "The prompt has 4000000 characters" in answer.json()["error"]["message"]


def test_a_seed_repeats_an_answer(client: openai.OpenAI) -> None:
    hot: dict[str, Any] = {"temperature": 1.5, "seed": 5}
    assert text_of(client, "base", **hot) == text_of(client, "base", **hot)
    assert text_of(client, "base", **hot) != text_of(client, "base", **{**hot, "seed": 6})


def test_an_adapter_that_fails_to_load_costs_only_its_own_requests(client: openai.OpenAI) -> None:
    before = text_of(client, "base"), text_of(client, "support")
    for _ in range(2):
        with pytest.raises(openai.BadRequestError, match="'broken:1' cannot be loaded"):
            ask(client, "broken")
    assert (text_of(client, "base"), text_of(client, "support")) == before
    assert metric("plait_adapter_loads_total", adapter="broken", outcome="failed") == 1  # told again, not tried again


async def test_concurrent_first_requests_load_an_adapter_once(
    server: str, tiny_model: Path, tmp_path: Path, client: openai.OpenAI
) -> None:
    register_adapter("fresh", tiny_model, tmp_path, seed=9)
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as together:
        answers = await asyncio.gather(*(ask(together, "fresh") for _ in range(4)))  # type: ignore[arg-type]
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert metric("plait_adapter_loads_total", adapter="fresh", outcome="loaded") == 1


def test_requests_tokens_and_first_token_times_are_counted_by_model_and_adapter(client: openai.OpenAI) -> None:
    labels = {"model_name": "rag/support:2", "adapter": "support"}
    answer = ask(client, labels["model_name"])
    assert metric("plait_requests_total", outcome="ok", **labels) == 1
    assert metric("vllm:prompt_tokens_total", **labels) == answer.usage.prompt_tokens
    assert metric("vllm:generation_tokens_total", **labels) == answer.usage.completion_tokens
    first_token_s = metric("vllm:time_to_first_token_seconds_sum", **labels)
    assert 0 < first_token_s <= answer.plait["timings_ms"]["first_token"] / 1000 + 0.05
    assert metric("plait_retrieval_seconds_count", collection=COLLECTION, stage="search") >= 1
