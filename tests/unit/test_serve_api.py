"""Every route of the API over fakes of the deployments: shapes, choices, tools, ids, deadlines, and a true OpenAPI."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import numpy as np
import pytest
from described import strict, validator
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from plait.errors import CollectionNotFound, DeadlineExceeded, ModelNotFound, NotFound, Overloaded, PlaitError
from plait.models.chat import Message
from plait.retrieval.passage import Passage
from plait.retrieval.request import Retrieval
from plait.serve.api.services import Services, deployments, services
from plait.serve.calls import Call, Collection, Event, Retrieved, Tokens
from plait.serve.embedder import Embedded, InputType
from plait.serve.engines.engine import TokenLogprob
from plait.serve.ingress import build_api
from plait.serve.protocol import ModelCard

CHAT: dict[str, Any] = {"model": "base", "messages": [{"role": "user", "content": "hi"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


YOUNG: dict[str, Any] = {
    "type": "and",
    "filters": [
        {"type": "gte", "key": "year", "value": 2024},
        {"type": "or", "filters": [{"type": "in", "key": "lang", "value": ["en", 'd"e']}]},
        {"type": "ne", "key": "filename", "value": "old.md"},
        {"type": "eq", "key": "is_draft", "value": False},
    ],
}
PASSAGE = Passage("c1", "ray.md", "ray", "Install", "ray 2.60.0", 3, 13, 0.87654, metadata={"lang": "en"})


class Fakes(Services):
    """Deployments that say what a test wants."""

    def __init__(self) -> None:
        self.default_max_tokens, self.default_timeout_s = 16, 60.0
        self.texts = ["hello"]
        self.error: PlaitError | None = None
        self.seconds = 0.0
        self.calls: list[Call] = []
        self.closed = 0
        self.retrievals: list[tuple[str, Retrieval]] = []

    async def answer(self, call: Call) -> AsyncGenerator[Event]:
        self.calls.append(call)
        text = self.texts[(len(self.calls) - 1) % len(self.texts)]
        try:
            if self.error is not None:
                raise self.error
            await asyncio.sleep(self.seconds)
            wanted = call.sampling.logprobs
            for i, letter in enumerate(text, start=1):
                top = tuple(TokenLogprob(c, -0.5) for c in "xy"[: wanted or 0])
                logprobs = () if wanted is None else (TokenLogprob(letter, -0.25, top),)
                rag = call.model.with_retrieval and i == 1
                yield Event(
                    letter,
                    7,
                    i,
                    "stop" if i == len(text) else None,
                    "base",
                    passages=(PASSAGE,) if rag else (),
                    retrieved=await self.retrieve(text, call.retrieval or Retrieval(), "") if rag else None,
                    cached_tokens=4,
                    logprobs=logprobs,
                )
                await asyncio.sleep(0)
        finally:
            self.closed += 1

    async def retrieve(self, question: str, asked: Retrieval, traceparent: str) -> Retrieved:
        self.retrievals.append((question, asked))
        if self.error is not None:
            raise self.error
        return Retrieved((PASSAGE,), "docs", asked, {"embed": 1.24, "search": 2.0, "total": 3.5})

    async def collections(self) -> list[Collection]:
        return [await self.collection("docs")]

    async def collection(self, name: str) -> Collection:
        await self.check_collection(name)
        return Collection("docs", "package:embedder", 384, 12)

    async def check_collection(self, name: str) -> None:
        if name != "docs":
            raise CollectionNotFound(f"There is no collection '{name}' here.")

    async def models(self) -> list[ModelCard]:
        return [
            ModelCard(id="base", created=0, root="package:base"),
            ModelCard(id="support", created=5, root="/adapters/support", parent="base"),
        ]

    async def is_ready(self) -> None:
        if self.error is not None:
            raise self.error

    async def embed(self, texts: Sequence[str], input_type: InputType, model: str) -> Embedded:
        vectors = np.array([[0.6, 0.0, 0.8] for _ in texts], np.float32)
        return Embedded(vectors, tokens=sum(len(text) for text in texts))

    async def rerank(self, query: str, documents: Sequence[str], model: str) -> list[float]:
        if model != "reranker":
            raise ModelNotFound(f"There is no reranker '{model}'.")
        return [document.count(query) / 10 for document in documents]

    async def tokenize(self, call: Call, add_special_tokens: bool) -> Tokens:
        text = call.prompt or (call.messages or ())[0].content
        return Tokens((2, *text.encode()) if add_special_tokens else tuple(text.encode()), 512)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode()


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def client(fakes: Fakes) -> TestClient:
    api = build_api()
    api.dependency_overrides |= {services: lambda: fakes, deployments: lambda: fakes}
    return TestClient(api, raise_server_exceptions=False)


def post(client: TestClient, path: str, body: dict[str, Any], **headers: str) -> Any:
    response = client.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def chunks_of(client: TestClient, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    response = client.post(path, json=body | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def error_of(client: TestClient, path: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    response = client.post(path, json=body, headers=headers)
    return response.status_code, response.json()["error"]


# ------------------------------------------------------------ retrieval


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


# ------------------------------------------------------------ vector stores


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
    condition = (
        '(metadata["year"] >= 2024) and (((metadata["lang"] == "en" or metadata["lang"] == "d\\"e"))) and '
        f'(not (source == "old.md" or source like "file-{"_" * 32}/old.md")) and (metadata["is_draft"] == false)'
    )
    assert fakes.retrievals[0][1] == Retrieval(
        collection="docs", top_k=4, filter=condition, rerank="none", min_score=0.2
    )
    (result,) = found["data"]
    assert (result["file_id"], result["score"], result["attributes"]) == ("ray.md", 0.8765, {"lang": "en"})
    assert result["content"] == [{"type": "text", "text": "ray 2.60.0"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewrite_query": True}, "rewrite_query"),
        ({"filters": {"type": "eq", "key": "a", "value": ["b"]}}, "in and nin take a list of values"),
        ({"filters": {"type": "near", "key": "a", "value": 1}}, "filters"),
        ({"filters": {"type": "in", "key": "a", "value": ["x" * 300] * 8}}, "The filters are too long"),
        ({"query": []}, "1 to 32 queries"),
        ({"max_num_results": 51}, "less than or equal to 50"),
    ],
)
def test_a_search_of_a_vector_store_that_cannot_be_is_refused(
    client: TestClient, change: dict[str, Any], message: str
) -> None:
    status, error = error_of(client, "/v1/vector_stores/docs/search", {"query": "x"} | change)
    assert status == 400
    assert message in error["message"]


# ------------------------------------------------------------ sampling and choices


def test_every_field_of_sampling_reaches_the_engine(client: TestClient, fakes: Fakes) -> None:
    fields: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": -0.3,
        "seed": 3,
        "ignore_eos": True,
    }
    more = {"logit_bias": {"5": -100}, "stop": "\n", "max_completion_tokens": 9, "logprobs": True, "top_logprobs": 2}
    post(client, "/v1/chat/completions", CHAT | fields | more)
    sampling = fakes.calls[0].sampling
    assert {name: getattr(sampling, name) for name in fields} == fields
    assert (sampling.logit_bias, sampling.stop) == (((5, -100.0),), ("\n",))
    assert (sampling.max_tokens, sampling.logprobs) == (9, 2)
    post(client, "/v1/completions", {"model": "base", "prompt": "x", "top_k": -1})
    assert (fakes.calls[1].sampling.max_tokens, fakes.calls[1].sampling.top_k) == (16, 0)
    assert fakes.calls[1].sampling.logprobs is None


def test_n_choices_have_seeds_of_their_own_and_count_their_prompt_once(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["a", "bb", "ccc"]
    body = post(client, "/v1/chat/completions", CHAT | {"n": 3, "seed": 7})
    assert [(c["index"], c["message"]["content"]) for c in body["choices"]] == [(0, "a"), (1, "bb"), (2, "ccc")]
    assert [call.sampling.seed for call in fakes.calls] == [7, 8, 9]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (7, 6)
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


def test_n_choices_stream_side_by_side_and_each_ends_once(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["aaa", "bbb"]
    *chunks, usage = chunks_of(
        client, "/v1/chat/completions", CHAT | {"n": 2, "stream_options": {"include_usage": True}}
    )
    pieces = [chunk["choices"][0] for chunk in chunks]
    for index, text in ((0, "aaa"), (1, "bbb")):
        mine = [piece for piece in pieces if piece["index"] == index]
        assert "".join(piece["delta"]["content"] for piece in mine) == text
        assert [piece["finish_reason"] for piece in mine] == [None, None, "stop"]
        assert [piece["delta"].get("role") for piece in mine] == ["assistant", None, None]
    assert [piece["index"] for piece in pieces[:2]] == [0, 1]
    assert ["plait" in chunk for chunk in chunks] == [False] * 5 + [True]
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 6)


def test_one_choice_that_fails_fails_the_answer_and_ends_the_others(client: TestClient, fakes: Fakes) -> None:
    fakes.error = Overloaded("full")
    assert error_of(client, "/v1/chat/completions", CHAT | {"n": 4})[0] == 429
    assert fakes.closed == len(fakes.calls)


def test_several_prompts_are_choices_in_order(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["a", "b", "c", "d"]
    body = post(client, "/v1/completions", {"model": "base", "prompt": ["x", "y"], "n": 2})
    assert [choice["text"] for choice in body["choices"]] == ["a", "b", "c", "d"]
    assert [call.prompt for call in fakes.calls] == ["x", "x", "y", "y"]
    assert body["usage"]["prompt_tokens"] == 14


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("/v1/completions", {"prompt": "x", "echo": True}, "'echo'"),
        ("/v1/completions", {"prompt": [1, 2]}, "'prompt"),
        ("/v1/completions", {"prompt": []}, "1 to 128 prompts"),
        ("/v1/chat/completions", {"top_logprobs": 2}, "top_logprobs needs logprobs: true"),
        ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice needs tools"),
        ("/v1/chat/completions", {"stream_options": {"include_usage": True}}, "stream_options needs stream"),
        ("/v1/chat/completions", {"response_format": {"type": "json_schema"}}, "json_schema is required"),
        (
            "/v1/chat/completions",
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "time"}}},
            "names 'time', which is none of the tools",
        ),
        (
            "/v1/chat/completions",
            {"tools": [WEATHER], "response_format": {"type": "json_object"}},
            "response_format and tools exclude each other",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "tool", "content": "x"}]},
            "tool_call_id is required in a message of the role tool",
        ),
        ("/v1/embeddings", {"input": []}, "1 to 2048 texts"),
        ("/v1/embeddings", {"input": "x", "dimensions": 4}, "makes 3 dimensions, not 4"),
        ("/v1/tokenize", {}, "either prompt or messages is required"),
        ("/v1/embeddings", {"input": "x", "dimension": 4}, "Did you mean 'dimensions'?"),
    ],
)
def test_what_does_not_fit_together_is_a_sentence(
    client: TestClient, path: str, change: dict[str, Any], message: str
) -> None:
    body = (CHAT if "chat" in path else {"model": "base"}) | change
    status, error = error_of(client, path, body)
    assert status == 400
    assert message in error["message"]
    assert error["code"] == "invalid_input"


# ------------------------------------------------------------ log-probabilities and formats


def test_log_probabilities_come_in_the_shape_of_chat(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["aé"]
    body = CHAT | {"logprobs": True, "top_logprobs": 2}
    tokens = post(client, "/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]
    assert [(t["token"], t["logprob"], t["bytes"]) for t in tokens] == [("a", -0.25, [97]), ("é", -0.25, [195, 169])]
    assert [t["token"] for t in tokens[0]["top_logprobs"]] == ["x", "y"]
    streamed = [chunk["choices"][0]["logprobs"]["content"] for chunk in chunks_of(client, "/v1/chat/completions", body)]
    assert [t for piece in streamed for t in piece] == tokens
    assert post(client, "/v1/chat/completions", CHAT)["choices"][0]["logprobs"] is None


def test_log_probabilities_come_in_the_shape_of_completions(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["aéb"]
    body: dict[str, Any] = {"model": "base", "prompt": "x", "logprobs": 1}
    logprobs = post(client, "/v1/completions", body)["choices"][0]["logprobs"]
    assert logprobs == {
        "tokens": ["a", "é", "b"],
        "token_logprobs": [-0.25] * 3,
        "top_logprobs": [{"x": -0.5}] * 3,
        "text_offset": [0, 1, 2],
    }
    streamed = [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks_of(client, "/v1/completions", body)]
    assert streamed == [[0], [1], [2]]


def test_a_response_format_becomes_a_schema_for_the_engine(client: TestClient, fakes: Fakes) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    formats: list[dict[str, Any]] = [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}},
    ]
    for response_format in formats:
        post(client, "/v1/chat/completions", CHAT | {"response_format": response_format})
    assert [json.loads(call.sampling.json_schema or "null") for call in fakes.calls] == [
        None,
        {"type": "object"},
        schema,
    ]


# ------------------------------------------------------------ tools


def test_a_named_function_is_forced_by_a_schema_and_answered_as_a_call(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {"city": "Rome"}}']
    choice = {"type": "function", "function": {"name": "weather"}}
    body = post(client, "/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": choice})["choices"][0]
    assert (body["finish_reason"], body["message"]["content"]) == ("tool_calls", None)
    (call,) = body["message"]["tool_calls"]
    assert (call["type"], call["function"]) == ("function", {"name": "weather", "arguments": '{"city": "Rome"}'})
    assert [tool.name for tool in fakes.calls[0].tools] == ["weather"]
    schema = json.loads(fakes.calls[0].sampling.json_schema or "")
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"name": "weather", "arguments": {"city": "Rome"}})
    assert not validator.is_valid({"name": "weather", "arguments": {}})
    assert not validator.is_valid({"name": "time", "arguments": {"city": "Rome"}})


def test_a_model_may_call_or_answer_when_the_choice_is_its_own(client: TestClient, fakes: Fakes) -> None:
    request = CHAT | {"tools": [WEATHER]}
    fakes.texts = ["sunny", '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>']
    answered, called = (post(client, "/v1/chat/completions", request)["choices"][0] for _ in range(2))
    assert (answered["finish_reason"], answered["message"]["content"]) == ("stop", "sunny")
    assert "tool_calls" not in answered["message"]
    assert called["message"]["tool_calls"][0]["function"]["name"] == "weather"
    assert fakes.calls[0].sampling.json_schema is None
    post(client, "/v1/chat/completions", request | {"tool_choice": "none"})
    assert fakes.calls[-1].tools == ()


def test_a_call_streams_as_role_call_and_end(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {"city": "Rome"}}']
    chunks = chunks_of(client, "/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": "required"})
    role, call, end = (chunk["choices"][0] for chunk in chunks)
    assert role["delta"] == {"role": "assistant", "content": ""}
    (delta,) = call["delta"]["tool_calls"]
    assert (delta["index"], delta["function"]["arguments"]) == (0, '{"city": "Rome"}')
    assert [piece["finish_reason"] for piece in (role, call, end)] == [None, None, "tool_calls"]


def test_the_answers_of_tools_go_back_into_the_conversation(client: TestClient, fakes: Fakes) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    post(client, "/v1/chat/completions", {"model": "base", "messages": messages})
    _, assistant, tool = fakes.calls[0].messages or ()
    assert (assistant.tool_calls[0].name, assistant.tool_calls[0].arguments) == ("weather", '{"city": "Rome"}')
    assert (tool.role, tool.tool_call_id, tool.content) == ("tool", "c1", "sunny")


# ------------------------------------------------------------ ids and deadlines


def test_a_request_has_one_id_in_its_header_its_answer_and_its_call(client: TestClient, fakes: Fakes) -> None:
    body = post(client, "/v1/chat/completions", CHAT, **{"X-Request-Id": "job-7.a_B"})
    assert body["id"] == "chatcmpl-job-7.a_B"
    assert fakes.calls[0].request_id == "job-7.a_B"
    for bad in ("", "a b", "x" * 129, "id{}"):
        response = client.post("/v1/completions", json={"model": "base", "prompt": "x"}, headers={"X-Request-Id": bad})
        made = response.headers["x-request-id"]
        assert len(made) == 32
        assert response.json()["id"] == f"cmpl-{made}"
    assert client.get("/v1/nothing").headers["x-request-id"]


def test_a_deadline_is_the_clients_or_the_servers(client: TestClient, fakes: Fakes) -> None:
    post(client, "/v1/chat/completions", CHAT, **{"X-Request-Timeout": "2.5"})
    post(client, "/v1/chat/completions", CHAT)
    assert [call.deadline_s for call in fakes.calls] == [2.5, 60.0]
    for bad in ("0", "soon", "inf", "-1", "nan"):
        status, error = error_of(client, "/v1/chat/completions", CHAT, **{"X-Request-Timeout": bad})
        assert (status, error["code"]) == (400, "invalid_input")


def test_nothing_until_the_deadline_is_a_504_also_when_nobody_answers(client: TestClient, fakes: Fakes) -> None:
    fakes.seconds = 30
    for body in (CHAT, CHAT | {"n": 2}, CHAT | {"stream": True}):
        status, error = error_of(client, "/v1/chat/completions", body, **{"X-Request-Timeout": "0.05"})
        assert (status, error["code"]) == (504, DeadlineExceeded.code)
    assert fakes.closed == len(fakes.calls)


# ------------------------------------------------------------ embeddings, rerank, tokens


def test_embeddings_come_as_numbers_or_as_base64_of_the_same(client: TestClient) -> None:
    numbers = post(client, "/v1/embeddings", {"model": "embedding", "input": ["ab", "c"]})
    assert numbers["data"][1]["embedding"] == pytest.approx([0.6, 0, 0.8])
    assert numbers["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    body = {"model": "embedding", "input": "ab", "encoding_format": "base64"}
    (item,) = post(client, "/v1/embeddings", body)["data"]
    assert list(struct.unpack("<3f", base64.b64decode(item["embedding"]))) == numbers["data"][0]["embedding"]


def test_fewer_dimensions_have_unit_length_again(client: TestClient) -> None:
    body = post(client, "/v1/embeddings", {"model": "embedding", "input": "x", "dimensions": 2})
    assert body["data"][0]["embedding"] == pytest.approx([1, 0])


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_rerank_orders_documents_of_both_forms(client: TestClient, path: str) -> None:
    body: dict[str, Any] = {"model": "reranker", "query": "a", "documents": ["b", {"text": "aaa"}, "a"]}
    results = post(client, path, body)["results"]
    assert results == [
        {"index": 1, "relevance_score": 0.3},
        {"index": 2, "relevance_score": 0.1},
        {"index": 0, "relevance_score": 0.0},
    ]
    (best,) = post(client, path, body | {"top_n": 1, "return_documents": True})["results"]
    assert best == {"index": 1, "relevance_score": 0.3, "document": {"text": "aaa"}}


def test_tokens_of_prompts_and_conversations_and_back(client: TestClient) -> None:
    assert post(client, "/v1/tokenize", {"prompt": "ab"}) == {"count": 3, "max_model_len": 512, "tokens": [2, 97, 98]}
    assert post(client, "/v1/tokenize", {"prompt": "ab", "add_special_tokens": False})["tokens"] == [97, 98]
    assert post(client, "/v1/tokenize", {"messages": CHAT["messages"]})["count"] == 3
    assert post(client, "/v1/detokenize", {"tokens": [97, 98]}) == {"prompt": "ab"}


def test_what_is_not_served_says_how_to_serve_it() -> None:
    with pytest.raises(NotFound, match=r"no embedding model\. Serve one: set embedding.model"):
        Services._there(None, "embedding")


# ------------------------------------------------------------ the description is true


REQUESTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("get", "/healthz", None),
    ("get", "/readyz", None),
    ("get", "/v1/models", None),
    ("get", "/v1/models/{model_id}", None),
    ("post", "/v1/chat/completions", CHAT | {"logprobs": True, "top_logprobs": 1, "n": 2}),
    ("post", "/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": "required"}),
    ("post", "/v1/completions", {"model": "base", "prompt": ["x", "y"], "logprobs": 1}),
    ("post", "/v1/chat/completions", CHAT | {"model": "rag/base", "retrieval": {"mode": "hybrid", "mmr": 0.5}}),
    ("post", "/v1/retrieve", {"query": "x", "filter": "position > 2", "expand": 1}),
    ("post", "/v1/rag/query", {"query": "x", "model": "support", "retrieval": {"top_k": 2}}),
    ("get", "/v1/vector_stores", None),
    ("get", "/v1/vector_stores/{store_id}", None),
    ("post", "/v1/vector_stores/{store_id}/search", {"query": ["x"], "filters": YOUNG}),
    ("post", "/v1/embeddings", {"model": "embedding", "input": "x"}),
    ("post", "/v1/embeddings", {"model": "embedding", "input": "x", "encoding_format": "base64"}),
    ("post", "/v1/rerank", {"model": "reranker", "query": "a", "documents": ["a"], "return_documents": True}),
    ("post", "/v2/rerank", {"model": "reranker", "query": "a", "documents": ["a"]}),
    ("post", "/v1/tokenize", {"prompt": "ab"}),
    ("post", "/v1/detokenize", {"tokens": [97]}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_real_answers_follow_the_description(
    client: TestClient, fakes: Fakes, method: str, path: str, body: dict[str, Any] | None
) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {}}']
    document = strict(client.get("/openapi.json").json())
    operation = document["paths"][path.replace("{model_id}", "{model_id}")][method]
    response = client.request(method, path.format(model_id="support", store_id="docs"), json=body)
    assert response.status_code == 200, response.text
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    validator(document, schema).validate(response.json())
    if body is not None:
        asked = operation["requestBody"]["content"]["application/json"]["schema"]
        validator(document, asked).validate(body)
        for change, headers in (({"no_such_field": 1}, {}), ({"model": "no such name"}, {})):
            refused = client.request(method, path.format(store_id="docs"), json=body | change, headers=headers)
            described = operation["responses"].get(str(refused.status_code))
            if refused.status_code != 200:
                validator(document, described["content"]["application/json"]["schema"]).validate(refused.json())
        assert "422" not in operation["responses"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT | {"logprobs": True, "n": 2, "stream_options": {"include_usage": True}}),
        ("/v1/chat/completions", CHAT | {"tools": [WEATHER], "tool_choice": "required"}),
        ("/v1/completions", {"model": "base", "prompt": "x", "logprobs": 1, "stream_options": {"include_usage": True}}),
    ],
)
def test_events_of_streams_follow_the_description(
    client: TestClient, fakes: Fakes, path: str, body: dict[str, Any]
) -> None:
    fakes.texts = ['{"name": "weather", "arguments": {}}']
    document = strict(client.get("/openapi.json").json())
    stream = document["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]
    for chunk in chunks_of(client, path, body):
        validator(document, stream["x-event-schema"]).validate(chunk)


def test_every_route_is_tried_against_the_description(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    described = {
        (method, path.replace(":path", ""))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if not {"adapters", "files"} & set(operation["tags"])
    }
    assert described == {(method, path) for method, path, _ in REQUESTS}
