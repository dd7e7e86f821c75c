"""The whole server over real HTTP with OpenAI's client: base, adapters, retrieval, streams, limits, a lost replica."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import psutil
import pytest
import torch
from changed_settings import changed_settings

from plait import api_keys
from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import Registry
from plait.adapters.tracking import start_run, tracking_client
from plait.errors import CollectionNotFound, Conflict, InvalidInput, ModelNotFound, Unavailable
from plait.index.chunk import Chunk, chunk_table
from plait.index.collection import Index
from plait.local.ray_head import temp_dir
from plait.models.chat import FORMATS
from plait.models.embedding import EmbeddingModel
from plait.models.endpoint import EmbeddingEndpoint
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.scope import Scope
from plait.settings import settings

COLLECTION, OTHER, ADMIN_KEY = "serve_test", "serve_test_other", "an-admin-key"
MAX_WAITING = 8
TEXTS = {
    "ray.md": "The installed version of ray is 2.60.0 and its licence is Apache.",
    "torch.md": "torch multiplies tensors; its installed version is 2.13.0.",
    "cats.md": "Cats sleep most of the day.",
}
QUESTION = [{"role": "user", "content": "which version of ray is installed?"}]


# ------------------------------------------------------------ the server


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`support` in two versions (the first its champion), one with broken weights, one of another base model."""
    registry, client = Registry(), tracking_client()
    folders = {}
    for seed, key in enumerate(("support:1", "support:2", "broken:1", "foreign:1"), start=1):
        folder = tmp_path_factory.mktemp(f"adapter{seed}")
        _save_adapter(tiny_model, folder, seed, base_sha256="other" if key == "foreign:1" else model_sha256(tiny_model))
        name = key.partition(":")[0]
        folders[key] = registry.register(name, folder, start_run(client, key, {})).path
    (folders["broken:1"] / "adapter_model.safetensors").write_bytes(b"no weights")
    client.set_registered_model_alias("support", "champion", "1")
    return folders


def _save_adapter(base: Path, folder: Path, seed: int, base_sha256: str) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = get_peft_model(
        load_causal_lm(base, "float32"), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    model.save_pretrained(folder)
    AdapterMetadata(
        base_model=str(base),
        base_sha256=base_sha256,
        dataset_sha256="0",
        method="lora",
        recipe={},
        chat_format=FORMATS["plain"],
        run_id="r",
        run_key="k",
        plait_version="0",
        created_at="2026-01-01T00:00:00+00:00",
    ).write(folder)


@pytest.fixture(scope="module")
def collection(milvus: str, tiny_embedder: Path) -> Iterator[str]:
    indexes = [
        _filled(milvus, tiny_embedder, COLLECTION, TEXTS),
        _filled(milvus, tiny_embedder, OTHER, {"herons.md": "Herons stand in the water and wait."}),
    ]
    yield COLLECTION
    for index in indexes:
        index.drop()


def _filled(milvus: str, tiny_embedder: Path, name: str, texts: dict[str, str]) -> Index:
    model = EmbeddingModel(str(tiny_embedder))
    index = Index.open_or_create(name, embedding_model=model.name, dimension=model.dimension, uri=milvus)
    chunks = [
        Chunk(
            chunk_id=source,
            source=source,
            title=source.removesuffix(".md"),
            heading="",
            text=text,
            position=0,
            start=0,
            end=len(text),
            chunk_count=1,
            content_hash="0",
            updated_at=0,
        )
        for source, text in texts.items()
    ]
    import pyarrow as pa

    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(model.encode_passages([chunk.text_to_embed for chunk in chunks]).reshape(-1)), model.dimension
    )
    index.upsert(chunk_table(chunks).append_column("dense", vectors))
    return index


@pytest.fixture(scope="module")
def server(
    ray_cluster: None,
    tiny_model: Path,
    adapters: dict[str, Path],
    collection: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Base URL of the application, on the tiny models."""
    from ray import serve

    from plait.serve.deploy import deploy, read_config

    overrides = [
        f"llm.model={tiny_model}",
        "llm.dtype=float32",
        "llm.max_batch_size=4",
        f"llm.max_waiting={MAX_WAITING}",
        f"retrieval.collection={collection}",
        f"retrieval.more_collections=[{OTHER}]",
        "default_max_tokens=12",
    ]
    told: list[str] = []
    keys_file = tmp_path_factory.mktemp("keys") / "keys.json"
    with changed_settings(admin_key=ADMIN_KEY, keys_file=keys_file):
        yield deploy(read_config("local", overrides), on_progress=told.append)
        assert any("LLM" in line for line in told)
        serve.shutdown()


@pytest.fixture(scope="module")
def client(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=120)


def ask(client: openai.OpenAI, model: str, **options: Any) -> Any:
    request: dict[str, Any] = {"messages": QUESTION, "temperature": 0} | options
    return client.chat.completions.create(model=model, **request)


def text_of(client: openai.OpenAI, model: str, **options: Any) -> str:
    return str(ask(client, model, **options).choices[0].message.content)


def metric(name: str, **labels: str) -> float:
    """Sum of a metric's samples at the node's exporter that have these labels."""
    from prometheus_client.parser import text_string_to_metric_families

    text = httpx.get(f"http://{settings().bind}:{settings().metrics_port}/metrics", timeout=30).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


# ------------------------------------------------------------ answers


def test_health_readiness_and_the_api_description_answer(server: str) -> None:
    assert httpx.get(f"{server}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{server}/readyz").json() == {"status": "ready"}
    assert "/v1/chat/completions" in httpx.get(f"{server}/openapi.json").json()["paths"]


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
    assert answer.plait["route"] == "direct"


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


def test_retrieval_cites_what_the_prompt_held_whole_and_streamed(client: openai.OpenAI) -> None:
    how = {"retrieval": {"top_k": 2, "mode": "dense"}}
    answer = ask(client, "rag/base", extra_body=how)
    citations = [citation.model_dump(exclude_unset=True) for citation in answer.choices[0].message.annotations]
    assert len(citations) == 2
    assert citations[0]["source"] in TEXTS
    assert all(c["text"] == TEXTS[c["source"]] and c["end"] == len(c["text"]) for c in citations)
    assert citations[0]["score"] >= citations[1]["score"]
    assert (answer.plait["route"], answer.plait["model"]) == ("rag", "base")
    assert (answer.plait["retrieval"]["found"], answer.plait["retrieval"]["passages"]) == (2, 2)
    assert {"embed", "search", "retrieval", "generate", "total"} <= answer.plait["timings_ms"].keys()
    assert answer.usage.prompt_tokens > ask(client, "base").usage.prompt_tokens
    *_, last = ask(client, "rag/base", stream=True, extra_body=how)
    assert last.choices[0].delta.annotations == citations


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
@pytest.mark.parametrize("rerank", ["none", "late-interaction"])
def test_passages_are_retrieved_in_every_way(server: str, mode: str, rerank: str) -> None:
    body = {"query": TEXTS["ray.md"], "mode": mode, "rerank": rerank, "top_k": 2}
    found = httpx.post(f"{server}/v1/retrieve", json=body, timeout=60).json()
    assert found["data"][0]["source"] == "ray.md"
    assert ("rerank" in found["timings_ms"]) == (rerank != "none")
    assert ("embed" in found["timings_ms"]) == (mode != "bm25")
    body |= {"filter": 'source != "ray.md"', "max_per_source": 1, "mmr": 0.7, "expand": 1}
    found = httpx.post(f"{server}/v1/retrieve", json=body, timeout=60).json()
    assert {p["source"] for p in found["data"]} <= {"torch.md", "cats.md"}


def test_questions_that_come_together_are_each_searched_for_in_their_own_way(server: str) -> None:
    bodies: list[dict[str, Any]] = [
        {"query": TEXTS["cats.md"], "top_k": 1},
        {"query": "tensors", "mode": "bm25"},
        {"query": "tensors", "mode": "bm25", "tenant": "nobody"},
        {"query": "tensors", "filter": "no such field"},
        {"query": TEXTS["ray.md"], "mode": "hybrid", "top_k": 1},
    ] * 4

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server, timeout=60) as client:
            return await asyncio.gather(*(client.post("/v1/retrieve", json=body) for body in bodies))

    answers = asyncio.run(all_at_once())
    sources = [[p["source"] for p in a.json()["data"]] if a.is_success else a.status_code for a in answers]
    assert sources == [["cats.md"], ["torch.md"], [], 400, ["ray.md"]] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filter": "true) or (true"}, "this '\\)' closes nothing"),
        ({"filter": "no_such_field == 1"}, "Milvus refuses the filter 'no_such_field == 1'"),
        ({"rerank": "cross-encoder"}, "This application has no cross-encoder. Use rerank: late-interaction or none"),
    ],
)
def test_a_retrieval_that_cannot_be_is_one_sentence(
    client: openai.OpenAI, change: dict[str, str], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        ask(client, "rag/base", extra_body={"retrieval": change})


def test_without_a_passage_the_answer_is_refused_and_counted(client: openai.OpenAI, server: str) -> None:
    nowhere: dict[str, Any] = {"retrieval": {"tenant": "nobody"}}
    answer = ask(client, "rag/base", extra_body=nowhere)
    assert "say nothing about that" in answer.choices[0].message.content
    assert (answer.plait["model"], answer.plait["retrieval"]["no_context"]) == ("none", "refused")
    assert answer.choices[0].message.annotations == []
    assert answer.usage.completion_tokens == 0
    first, *_ = ask(client, "rag/base", stream=True, extra_body=nowhere)
    assert first.choices[0].delta.content == answer.choices[0].message.content
    too_high = {"query": QUESTION[0]["content"], "retrieval": {"min_score": 1.1}}
    assert "say nothing about that" in httpx.post(f"{server}/v1/rag/query", json=too_high, timeout=60).json()["answer"]
    assert metric("plait_no_context_total", collection=COLLECTION, outcome="refused") >= 3


def test_a_query_is_answered_with_citations(server: str) -> None:
    body = {"query": QUESTION[0]["content"], "model": "support", "retrieval": {"top_k": 1, "mode": "hybrid"}}
    answer = httpx.post(f"{server}/v1/rag/query", json=body, timeout=60).json()
    assert (answer["plait"]["model"], len(answer["citations"])) == ("support:2", 1)
    assert answer["citations"][0]["text"] in TEXTS.values()


def test_openais_client_searches_the_collection_as_a_vector_store(client: openai.OpenAI) -> None:
    stores = client.vector_stores.list().data
    assert [(s.id, s.file_counts.completed) for s in stores] == [(COLLECTION, len(TEXTS)), (OTHER, 1)]
    assert client.vector_stores.retrieve(COLLECTION).name == COLLECTION
    found = client.vector_stores.search(COLLECTION, query=TEXTS["cats.md"], max_num_results=1)
    assert [(r.filename, r.content[0].text) for r in found.data] == [("cats.md", TEXTS["cats.md"])]
    other: Any = {"type": "nin", "key": "filename", "value": ["cats.md", "ray.md"]}
    found = client.vector_stores.search(COLLECTION, query=TEXTS["cats.md"], filters=other)
    assert [r.filename for r in found.data] == ["torch.md"]
    found = client.vector_stores.search(OTHER, query=TEXTS["cats.md"])
    assert [r.filename for r in found.data] == ["herons.md"]
    with pytest.raises(openai.NotFoundError, match=f"This application serves '{COLLECTION}' and '{OTHER}'"):
        client.vector_stores.search("elsewhere", query="x")


def test_a_request_names_the_collection_that_answers(client: openai.OpenAI, server: str) -> None:
    answer = ask(client, "rag/base", extra_body={"retrieval": {"collection": OTHER}})
    assert [citation.model_dump()["source"] for citation in answer.choices[0].message.annotations] == ["herons.md"]
    with pytest.raises(openai.NotFoundError, match="There is no collection 'elsewhere' here"):
        ask(client, "rag/base", extra_body={"retrieval": {"collection": "elsewhere"}})

    def found(collection: str) -> set[str]:
        body = {"query": "which cats wait?", "collection": collection, "top_k": 5}
        answer = httpx.post(f"{server}/v1/retrieve", json=body, timeout=60).json()
        return {answer["collection"], *(passage["source"] for passage in answer["data"])}

    with ThreadPoolExecutor(8) as threads:  # together, so that they share a batch
        together = list(threads.map(found, [COLLECTION, OTHER] * 8))
    assert together == [{COLLECTION, *TEXTS}, {OTHER, "herons.md"}] * 8


def test_an_index_can_be_made_through_our_own_embeddings(server: str, tiny_embedder: Path) -> None:
    endpoint = EmbeddingEndpoint("openai:embedding", url=f"{server}/v1", api_key="none")
    texts = list(TEXTS.values())
    by_ourselves = EmbeddingModel(str(tiny_embedder)).encode_passages(texts)
    assert np.allclose(endpoint.encode_passages(texts), by_ourselves, atol=1e-3)


def test_openais_client_uploads_a_file_finds_it_and_takes_it_out_again(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="admin key"):
        client.files.create(file=("heron.md", b"x"), purpose="assistants")
    admin = client.with_options(api_key=ADMIN_KEY)
    text = "# Heron\n\nThe heron of the north pier reads 4,711 lines a day."
    attached = admin.vector_stores.files.upload_and_poll(
        vector_store_id=COLLECTION, file=("heron.md", text.encode()), poll_interval_ms=200
    )
    assert (attached.status, attached.last_error, attached.usage_bytes) == ("completed", None, len(text))
    assert admin.files.content(attached.id).text == text
    kept = admin.files.retrieve(attached.id)
    assert (kept.filename, kept.bytes) == ("heron.md", len(text))
    found = client.vector_stores.search(COLLECTION, query="the heron of the north pier", max_num_results=1)
    assert [(r.file_id, r.filename) for r in found.data] == [(attached.id, "heron.md")]
    assert "4,711 lines" in found.data[0].content[0].text

    def named(kind: str, *names: str) -> set[str]:
        value = list(names) if kind in ("in", "nin") else names[0]
        only: Any = {"type": kind, "key": "filename", "value": value}
        asked = client.vector_stores.search(COLLECTION, query="heron", filters=only, max_num_results=10)
        return {result.filename for result in asked.data}

    assert named("eq", "heron.md") == named("in", "heron.md") == named("eq", f"{attached.id}/heron.md") == {"heron.md"}
    assert named("ne", "heron.md") == named("nin", "heron.md", "x.md") == set(TEXTS)
    assert named("eq", "her_n.md") == named("eq", "%") == set()
    assert named("in", "heron.md", "cats.md") == {"heron.md", "cats.md"}

    broken = admin.files.create(file=("broken.pdf", b"no pdf"), purpose="assistants")
    failed = admin.vector_stores.files.create_and_poll(
        file_id=broken.id, vector_store_id=COLLECTION, attributes={"year": 2026}, poll_interval_ms=200
    )
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert "'broken.pdf' cannot be indexed" in failed.last_error.message
    assert {f.id for f in admin.vector_stores.files.list(COLLECTION)} == {attached.id, broken.id}
    assert [f.id for f in admin.vector_stores.files.list(COLLECTION, filter="failed")] == [broken.id]
    odd = admin.files.create(file=("odd.xyz", b"x"), purpose="assistants")
    with pytest.raises(openai.BadRequestError, match="of no known format"):
        admin.vector_stores.files.create(COLLECTION, file_id=odd.id)

    batch = admin.vector_stores.file_batches.upload_and_poll(
        COLLECTION,
        files=[("ibis.md", b"The ibis counts the boats of the south pier."), ("bad.pdf", b"no pdf")],
        poll_interval_ms=200,
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
    of_batch = list(admin.vector_stores.file_batches.list_files(batch.id, vector_store_id=COLLECTION))
    assert sorted(file.status for file in of_batch) == ["completed", "failed"]
    assert named("eq", "ibis.md") == {"ibis.md"}
    for file in of_batch:
        assert admin.files.delete(file.id).deleted

    admin.vector_stores.files.delete(attached.id, vector_store_id=COLLECTION)
    found = client.vector_stores.search(COLLECTION, query="the heron of the north pier")
    assert attached.id not in {r.file_id for r in found.data}
    assert admin.files.delete(broken.id).deleted
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        admin.vector_stores.files.retrieve(broken.id, vector_store_id=COLLECTION)


def test_adapters_answer_by_name_version_and_alias(client: openai.OpenAI) -> None:
    texts = {m: text_of(client, m) for m in ("base", "support", "support:1", "support:2", "support@champion")}
    assert texts["support"] == texts["support:2"]
    assert texts["support@champion"] == texts["support:1"]
    assert len({texts["base"], texts["support:1"], texts["support:2"]}) == 3
    assert ask(client, "support").plait["model"] == "support:2"
    assert ask(client, "rag/support@champion").plait["model"] == "support:1"


def test_a_seed_repeats_an_answer(client: openai.OpenAI) -> None:
    hot: dict[str, Any] = {"temperature": 1.5, "seed": 5}
    assert text_of(client, "base", **hot) == text_of(client, "base", **hot)
    assert text_of(client, "base", **hot) != text_of(client, "base", **{**hot, "seed": 6})


# ------------------------------------------------------------ refusals


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
    _save_adapter(tiny_model, tmp_path, seed=9, base_sha256=model_sha256(tiny_model))
    Registry().register("fresh", tmp_path, start_run(tracking_client(), "fresh", {}))
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as together:
        answers = await asyncio.gather(*(ask(together, "fresh") for _ in range(4)))  # type: ignore[arg-type]
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert metric("plait_adapter_loads_total", adapter="fresh", outcome="loaded") == 1


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
    _until(lambda: metric("plait_requests_total", outcome="cancelled") == cancelled + 1)
    assert metric("plait_requests_running") == 0
    assert 1 <= metric("vllm:generation_tokens_total", model_name="base") - generated < 500


async def test_a_client_that_leaves_before_its_first_token_costs_no_generation(server: str) -> None:
    cancelled = metric("plait_requests_total", outcome="cancelled")
    generated = metric("vllm:generation_tokens_total", model_name="base")
    body = {"model": "base", "prompt": "x", "max_tokens": 500, "temperature": 0, "ignore_eos": True}
    async with httpx.AsyncClient(timeout=120) as together, httpx.AsyncClient(timeout=120) as leaving:
        # Three batches are ahead of it, all that may wait: seconds, in which the metrics can be read.
        ahead = [asyncio.create_task(together.post(f"{server}/v1/completions", json=body)) for _ in range(11)]
        await asyncio.to_thread(_until, lambda: metric("plait_requests_running") == len(ahead))
        mine = asyncio.create_task(leaving.post(f"{server}/v1/completions", json=body))
        await asyncio.to_thread(_until, lambda: metric("plait_requests_running") == len(ahead) + 1)
        mine.cancel()
        answers = [response.json() for response in await asyncio.gather(*ahead)]
    _until(lambda: metric("plait_requests_total", outcome="cancelled") == cancelled + 1)
    assert metric("plait_requests_running") == 0
    expected = sum(answer["usage"]["completion_tokens"] for answer in answers)
    assert metric("vllm:generation_tokens_total", model_name="base") - generated == expected


def _until(is_so: Any, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ------------------------------------------------------------ around the server


def test_ask_prints_the_answer_and_its_sources(server: str, client: openai.OpenAI) -> None:
    from typer.testing import CliRunner

    from plait.cli import app

    question = str(QUESTION[0]["content"])
    result = CliRunner().invoke(app, ["ask", question, "--model", "rag/support:1", "--url", server], color=False)
    assert result.exit_code == 0, result.output
    cited = ask(client, "rag/support:1").choices[0].message.annotations
    for citation in cited:
        assert citation.source in result.output
    assert "support:1" in result.output
    elsewhere = ["ask", question, "tenant=nobody", "mode=bm25", "--model", "rag/base", "--url", server]
    assert "say nothing about that" in CliRunner().invoke(app, elsewhere, color=False).output
    wrong = CliRunner().invoke(app, ["ask", question, "topk=1", "--url", server], color=False)
    assert "retrieval.topk" in str(wrong.exception) + wrong.output


def test_ask_without_a_server_says_how_to_start_one() -> None:
    from plait.chat_client import ask as ask_server

    with pytest.raises(Unavailable, match=r"No server answers at http://127\.0\.0\.1:1 .*plait serve"):
        ask_server("http://127.0.0.1:1", "base", "hello", 4)


def test_ask_shows_the_servers_own_sentence(server: str) -> None:
    from plait.chat_client import ask as ask_server

    with pytest.raises(ModelNotFound, match="Did you mean 'support'"):
        ask_server(server, "suport", "hello", 4)


def test_a_second_server_on_another_port_is_refused(server: str, tiny_model: Path) -> None:
    from plait.serve.deploy import deploy, read_config

    config = read_config("local", [f"llm.model={tiny_model}", "retrieval=null"])
    config["http_options"]["port"] += 1
    with pytest.raises(Conflict, match=r"Serve already runs on 127\.0\.0\.1:"):
        deploy(config, print)


def test_a_model_that_is_not_there_is_said_before_anything_starts(ray_cluster: None) -> None:
    from plait.serve.deploy import deploy, read_config

    with pytest.raises(ModelNotFound, match="The model package 'no-such' is not installed"):
        deploy(read_config("local", ["llm.model=package:no-such", "retrieval=null"]), print)


def test_a_collection_that_is_not_there_is_said_before_anything_starts(server: str, tiny_model: Path) -> None:
    from plait.serve.deploy import deploy, read_config

    with pytest.raises(CollectionNotFound, match=f"Did you mean '{COLLECTION}'"):
        deploy(read_config("local", [f"llm.model={tiny_model}", f"retrieval.collection={COLLECTION[:-1]}"]), print)


def test_requests_tokens_and_first_token_times_are_counted_by_model_and_adapter(client: openai.OpenAI) -> None:
    labels = {"model_name": "rag/support:2", "adapter": "support"}
    answer = ask(client, labels["model_name"])
    assert metric("plait_requests_total", outcome="ok", **labels) == 1
    assert metric("vllm:prompt_tokens_total", **labels) == answer.usage.prompt_tokens
    assert metric("vllm:generation_tokens_total", **labels) == answer.usage.completion_tokens
    first_token_s = metric("vllm:time_to_first_token_seconds_sum", **labels)
    assert 0 < first_token_s <= answer.plait["timings_ms"]["first_token"] / 1000 + 0.05
    assert metric("plait_retrieval_seconds_count", collection=COLLECTION, stage="search") >= 1


def test_the_log_is_lines_of_json_tied_by_an_id_without_what_was_said(server: str) -> None:
    words = "which heron reads lines?"
    body = {"model": "rag/base", "messages": [{"role": "user", "content": words}], "max_tokens": 4}
    answer = httpx.post(f"{server}/v1/chat/completions", json=body, headers={"X-Request-Id": "heron-7"})
    body["model"] = "rag/nobody"
    httpx.post(f"{server}/v1/chat/completions", json=body, headers={"X-Request-Id": "heron-8"})
    logs = [file.read_text() for file in (temp_dir() / "r/session_latest/logs/serve").glob("replica_*.log")]
    lines = [json.loads(line) for log in logs for line in log.splitlines()]  # every one of them
    ours = [line for line in lines if line.get("trace_id") == answer.headers["x-trace-id"]]
    assert {(line["event"], line["at"]) for line in ours if "event" in line} == {
        ("request", "ingress"),
        ("generation", "ingress"),
        ("generation", "llm"),
        ("retrieval", "retriever"),
    }
    assert {line["request_id"] for line in ours} == {"heron-7"}
    refused = [line for line in lines if line.get("request_id") == "heron-8"]
    assert any(line.get("outcome") == "model_not_found" for line in refused)
    assert words not in "".join(logs)


def test_a_killed_replica_comes_back_and_no_count_is_lost(server: str, client: openai.OpenAI) -> None:
    expected = text_of(client, "support")
    answered = metric("plait_requests_total", outcome="ok")
    (replica,) = _our_replicas("LLM")
    os.kill(replica.pid, signal.SIGKILL)

    def is_back() -> bool:
        return replica.pid not in [p.pid for p in _our_replicas("LLM")] and (
            httpx.get(f"{server}/readyz", timeout=30).status_code == 200
        )

    _until(is_back, timeout_s=120)
    assert text_of(client, "support") == expected
    assert metric("plait_requests_total", outcome="ok") == answered + 1


def _our_replicas(deployment: str) -> list[psutil.Process]:
    """Replicas of a deployment among the children of this test session's own Ray."""
    from plait.local.process import find_running

    head = find_running("ray")
    process = head.process() if head else None
    assert process is not None
    found = []
    for child in process.children(recursive=True):
        try:
            if f"ServeReplica:plait:{deployment}" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_port_in_use_is_one_sentence(server: str) -> None:
    from plait.local.process import check_port_is_free

    port = int(server.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)), pytest.raises(Conflict, match=f"Port {port} is in use"):
        check_port_is_free(port, "127.0.0.1", "PLAIT_HTTP_PORT")


def test_a_bad_override_of_the_application_is_refused() -> None:
    from plait.serve.deploy import deploy, read_config

    with pytest.raises(InvalidInput, match=r"unknown 'llm.modl' \(Did you mean 'model'"):
        deploy(read_config("local", ["llm.modl=x"]), print)


def test_keys_close_the_server_and_keep_tenants_apart(client: openai.OpenAI) -> None:
    _, of_acme = api_keys.create("acme", frozenset({Scope.INFER, Scope.DOCUMENTS}), tenant="acme")
    _, of_other = api_keys.create("other", frozenset({Scope.INFER}), tenant="other", adapters=("support",))
    acme, other = client.with_options(api_key=of_acme), client.with_options(api_key=of_other)
    with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong"):
        ask(client, "base")
    with pytest.raises(openai.PermissionDeniedError, match="scope 'documents'"):
        other.files.list()
    attached = acme.vector_stores.files.upload_and_poll(
        vector_store_id=COLLECTION, file=("stork.md", b"# Stork\n\nThe stork guards the west gate.")
    )
    assert attached.status == "completed"
    question = "who guards the west gate?"

    def sources(asking: openai.OpenAI) -> set[str]:
        return {result.filename for result in asking.vector_stores.search(COLLECTION, query=question)}

    assert sources(acme) == {"stork.md"}
    assert sources(other) == set()
    assert "stork.md" not in sources(client.with_options(api_key=ADMIN_KEY))
    assert [store.file_counts.total for store in acme.vector_stores.list() if store.id == COLLECTION] == [1]
    assert "west gate" in ask(acme, "rag/base").choices[0].message.annotations[0].text
    with pytest.raises(openai.PermissionDeniedError, match="may not use 'foreign'"):
        ask(other, "foreign")
    assert acme.files.delete(attached.id).deleted
    assert sources(acme) == set()
    settings().keys_path.unlink()
    with pytest.raises(openai.InternalServerError, match="file of API keys is not there"):
        ask(client.with_options(max_retries=0), "base")
