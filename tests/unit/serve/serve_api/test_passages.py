"""Retrieval, answers from passages, and the collection as a vector store."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.index.conditions import And, Compare, Equals, Field, Like, Not, OneOf, Or
from plait.models.message import Message
from plait.retrieval.request import Retrieval
from plait.serve.messages.calls import Retrieved
from serve_api.fakes import CHAT, PASSAGE, YOUNG, Fakes, error_of, post


def test_retrieve_says_what_it_found_and_how_long_each_stage_took(client: TestClient, fakes: Fakes) -> None:
    found = post(client, "/v1/retrieve", {"query": "which ray?", "mode": "hybrid", "min_score": None})
    ((question, asked),) = fakes.retrievals
    assert (question, asked.mode, asked.model_fields_set) == ("which ray?", "hybrid", {"mode", "min_score"})
    assert found["timings_ms"] == {"embed": 1.2, "search": 2.0, "total": 3.5}
    assert found["data"] == [
        {
            "chunk_id": "c1",
            "source": "ray.md",
            "title": "ray",
            "heading": "Install",
            "text": "ray 2.60.0",
            "start": 3,
            "end": 13,
            "score": 0.8765,
            "metadata": {"lang": "en"},
            "collection": "docs",
        }
    ]


def test_a_query_is_answered_with_the_passages_that_were_in_the_prompt(client: TestClient, fakes: Fakes) -> None:
    answer = post(client, "/v1/rag/query", {"query": "which ray?", "model": "support", "retrieval": {"top_k": 2}})
    (call,) = fakes.calls
    assert (str(call.model), call.messages, call.sampling.temperature) == (
        "rag/support", (Message("user", "which ray?"),), 0.0,
    )  # fmt: skip
    assert call.retrieval == Retrieval(top_k=2)
    assert (answer["answer"], answer["model"], answer["finish_reason"]) == ("hello", "rag/support", "stop")
    ((source, heading, quote),) = [(c["source"], c["heading"], c["quote"]) for c in answer["citations"]]
    assert (source, heading, quote) == ("ray.md", "Install", None)  # the fake's answer repeats nothing
    assert answer["plait"]["timings_ms"].keys() == {"first_token", "total", "retrieval", "embed", "search", "generate"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/retrieve", {"query": "x", "topk": 3}, "topk"),
        ("/v1/retrieve", {"query": ""}, "query"),
        ("/v1/rag/query", {"query": "x", "retrieval": {"topk": 3}}, "retrieval.topk"),
        ("/v1/chat/completions", CHAT | {"model": "rag/base", "retrieval": {"topk": 3}}, "retrieval.topk"),
    ],
)
def test_what_retrieval_does_not_know_is_named(client: TestClient, path: str, body: dict[str, Any], param: str) -> None:
    status, error = error_of(client, path, body)
    assert (status, error["param"]) == (400, param)


def test_a_model_that_does_not_retrieve_takes_no_retrieval(client: TestClient) -> None:
    status, error = error_of(client, "/v1/chat/completions", CHAT | {"retrieval": {"top_k": 3}})
    assert (status, error["message"]) == (
        400, "'base' does not retrieve. Ask for rag/base, or leave retrieval out.",
    )  # fmt: skip


def test_the_served_collection_is_a_vector_store(client: TestClient) -> None:
    (store,) = client.get("/v1/vector_stores").json()["data"]
    assert store == client.get("/v1/vector_stores/docs").json()
    assert (store["id"], store["object"], store["file_counts"]["completed"]) == ("docs", "vector_store", 12)
    assert client.get("/v1/vector_stores/dogs").status_code == 404
    assert client.post("/v1/vector_stores/dogs/search", json={"query": "x"}).status_code == 404


def test_a_vector_store_is_searched_with_openais_filters(client: TestClient, fakes: Fakes) -> None:
    found = post(
        client,
        "/v1/vector_stores/docs/search",
        {
            "query": ["one", "two"],
            "filters": YOUNG,
            "max_num_results": 4,
            "ranking_options": {"ranker": "none", "score_threshold": 0.2},
        },
    )
    assert [question for question, _ in fakes.retrievals] == ["one", "two"]
    year, lang, is_draft = (Field("metadata", (key,)) for key in ("year", "lang", "is_draft"))
    condition = And(
        (
            Compare(year, ">=", 2024),
            Or((OneOf(lang, ("en", 'd"e')),)),
            Not(Or((OneOf(Field("source"), ("old.md",)), Like(Field("source"), f"file-{'_' * 32}/old.md")))),
            Equals(is_draft, False),
        )
    )
    assert fakes.retrievals[0][1] == Retrieval(
        collection="docs", top_k=4, filter=condition, rerank="none", min_score=0.2
    )
    (result,) = found["data"]
    assert (result["file_id"], result["score"], result["attributes"]) == ("ray.md", 0.8765, {"lang": "en"})
    assert result["content"] == [{"type": "text", "text": "ray 2.60.0"}]


def nested(depth: int) -> dict[str, Any]:
    inner = {"type": "eq", "key": "a", "value": 1}
    return inner if depth == 0 else {"type": "or", "filters": [nested(depth - 1)]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewrite_query": True}, "rewrite_query"),
        ({"filters": {"type": "eq", "key": "a", "value": ["b"]}}, "in and nin take a list of values"),
        ({"filters": {"type": "near", "key": "a", "value": 1}}, "filters"),
        ({"filters": {"type": "in", "key": "a", "value": ["x" * 300] * 8}}, "The filters are too long"),
        ({"filters": nested(33)}, "The filter is nested too deeply"),
        ({"query": []}, "at least 1 item"),
        ({"max_num_results": 51}, "less than or equal to 50"),
    ],
)
def test_a_search_of_a_vector_store_that_cannot_be_is_refused(
    client: TestClient, change: dict[str, Any], message: str
) -> None:
    status, error = error_of(client, "/v1/vector_stores/docs/search", {"query": "x"} | change)
    assert status == 400
    assert message in error["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/retrieve", {"query": " "}),
        ("/v1/rag/query", {"query": "?!"}),
        ("/v1/vector_stores/docs/search", {"query": "\U0001f389"}),
        ("/v1/vector_stores/docs/search", {"query": ["one", "\u200b"]}),
    ],
)
def test_a_search_for_no_word_is_refused(client: TestClient, path: str, body: dict[str, Any], fakes: Fakes) -> None:
    status, error = error_of(client, path, body)
    assert status == 400
    assert "no letter and no digit" in error["message"]
    assert error["param"].startswith("query")
    assert not fakes.retrievals


def test_several_queries_have_the_best_results_of_all_best_first(
    client: TestClient, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"one": {"a": 0.9, "b": 0.2}, "two": {"b": 0.8, "c": 0.5, "d": 0.1}}

    async def retrieve(question: str, asked: Retrieval, traceparent: str) -> Retrieved:
        found = [
            replace(PASSAGE, chunk_id=name, source=name, text=f"text of {name}", score=score)
            for name, score in scores[question].items()
        ]
        return Retrieved(tuple(found), ("docs",), asked, {"total": 1.0}, is_cut=True)

    monkeypatch.setattr(fakes, "retrieve", retrieve)
    body = {"query": ["one", "two"], "max_num_results": 3}
    found = post(client, "/v1/vector_stores/docs/search", body)["data"]
    assert [(result["file_id"], result["score"]) for result in found] == [("a", 0.9), ("b", 0.8), ("c", 0.5)]
    assert post(client, "/v1/retrieve", {"query": "two"})["truncated"] is True
