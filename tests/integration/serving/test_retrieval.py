"""Answers from retrieved passages, with citations, from either collection."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from plait.index.collection import Index
from plait.index.stores.store import Store
from plait.models.encoders.endpoint import EmbeddingEndpoint
from plait.models.encoders.load import load_embedding
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import RetrievalPipeline
from plait.retrieval.request import Retrieval
from serving.asking import COLLECTION, OTHER, QUESTION, TEXTS, ask, metric


def test_retrieval_cites_what_the_prompt_held_whole_and_streamed(client: openai.OpenAI) -> None:
    how = {"retrieval": {"top_k": 2, "mode": "dense"}}
    answer = ask(client, "rag/base", extra_body=how)
    citations = [citation.model_dump(exclude_unset=True) for citation in answer.choices[0].message.annotations]
    assert len(citations) == 2
    assert citations[0]["source"] in TEXTS
    assert all(c["text"] == TEXTS[c["source"]] and c["end"] == len(c["text"]) for c in citations)
    assert citations[0]["score"] >= citations[1]["score"]
    assert (answer.plait["route"]["kind"], answer.plait["model"]) == ("rag", "base")
    assert (answer.plait["retrieval"]["found"], answer.plait["retrieval"]["passages"]) == (2, 2)
    assert {"embed", "search", "retrieval", "generate", "total"} <= answer.plait["timings_ms"].keys()
    assert answer.usage.prompt_tokens > ask(client, "base").usage.prompt_tokens
    *_, last = ask(client, "rag/base", stream=True, extra_body=how)
    assert last.choices[0].delta.annotations == citations
    for cited in citations:
        assert cited["type"] == "url_citation"
        passage = httpx.get(cited["url_citation"]["url"], timeout=60).json()
        assert (passage["id"], passage["text"]) == (cited["chunk_id"], cited["text"])
    missing = httpx.get(citations[0]["url_citation"]["url"] + "?tenant=nobody", timeout=60)
    assert missing.status_code == 404
    inline = ask(client, "rag/base", extra_body={"retrieval": {"top_k": 2, "mode": "dense", "citations": "inline"}})
    assert "\n\nSources:\n[1] " in inline.choices[0].message.content


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


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "dense"},
        {"mode": "bm25"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "dense_weight": 0.3},
        {"rerank": "late-interaction"},
        {"mode": "dense", "mmr": 0.5, "max_per_source": 1, "expand": 1},
    ],
)
async def test_jobs_retrieve_what_is_served(
    server: str, milvus: Store, tiny_embedder: Path, how: dict[str, Any]
) -> None:
    retrieval = Retrieval(top_k=3, **how)
    pipeline = RetrievalPipeline(LocalModels(load_embedding(str(tiny_embedder))))
    questions = [TEXTS["ray.md"], "which cats wait?", "lorem ipsum " * 200 + TEXTS["torch.md"]]
    by_a_job = await pipeline.retrieve(Index.open(COLLECTION, milvus), questions, retrieval)
    for question, expected in zip(questions, by_a_job, strict=True):
        body = {"query": question, "top_k": 3, **how}
        served = httpx.post(f"{server}/v1/retrieve", json=body, timeout=60).json()["data"]
        assert [passage["source"] for passage in served] == [passage.source for passage in expected]
        assert [passage["text"] for passage in served] == [passage.text for passage in expected]
        assert [passage["score"] for passage in served] == pytest.approx([p.score for p in expected], abs=1e-4)


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
        ({"filter": "true) or (true"}, "'\\)' cannot stand here"),
        (
            {"filter": "no_such_field == 1"},
            "The filter 'no_such_field == 1' is not valid at character 1: there is",
        ),
        ({"rerank": "cross-encoder"}, "There is no cross-encoder here. Use rerank: late-interaction or none"),
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
    by_ourselves = load_embedding(str(tiny_embedder)).encode_passages(texts)
    assert np.allclose(endpoint.encode_passages(texts), by_ourselves, atol=1e-3)


def test_a_question_without_a_word_has_no_passages_and_a_long_one_says_that_it_was_cut(
    client: openai.OpenAI, server: str
) -> None:
    asked: Any = [{"role": "user", "content": "?! \U0001f389"}]
    answer: Any = client.chat.completions.create(model="rag/base", messages=asked, max_tokens=4)
    assert (answer.plait["retrieval"]["no_context"], answer.choices[0].message.annotations) == ("refused", [])
    assert httpx.post(f"{server}/v1/retrieve", json={"query": " "}, timeout=60).status_code == 400
    text = TEXTS["ray.md"]
    for mode, query, is_cut in (
        ("hybrid", text, False),
        ("bm25", "lorem ipsum " * 2_000 + text, True),
        ("dense", "lorem ipsum " * 200 + text, True),
    ):
        found = httpx.post(f"{server}/v1/retrieve", json={"query": query, "mode": mode}, timeout=60).json()
        assert found["truncated"] is is_cut
        assert mode == "dense" or found["data"][0]["source"] == "ray.md"
