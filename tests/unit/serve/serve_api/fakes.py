"""Deployments that say what a test wants, and how a test asks the API."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from plait.engines.engine import FinishReason, TokenLogprob
from plait.errors import CollectionNotFound, ModelNotFound, NotFound, PlaitError
from plait.evaluation.live.answer import Rating
from plait.index.passage import Passage
from plait.models.long_texts import LongTexts
from plait.models.reranking import check_uncut
from plait.retrieval.request import Retrieval
from plait.serve.api.services import Services
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.calls import Call, Collection, Event, Retrieved, TokenizerInfo, Tokens
from plait.serve.messages.embeddings import Embedded, Input, InputType
from plait.serve.messages.protocol import ModelCard

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
PASSAGE = Passage(
    "c1",
    "ray.md",
    "ray",
    "Install",
    "ray 2.60.0",
    3,
    13,
    0.87654,
    metadata={"lang": "en"},
    collection="docs",
    content_hash="h1",
)


TOKENIZER = TokenizerInfo("Bytes", "<bos>", "<eos>", None, None, "{{ messages }}")


class Fakes(Services):
    """Deployments that say what a test wants."""

    def __init__(self) -> None:
        self.arguments = AppArguments(default_max_tokens=16, default_timeout_s=60.0)
        self.texts = ["hello"]
        self.error: PlaitError | None = None
        self.seconds = 0.0
        self.finish: FinishReason = "stop"
        self.calls: list[Call] = []
        self.closed = 0
        self.embedded: list[tuple[list[Input], LongTexts]] = []
        self.retrievals: list[tuple[str, Retrieval]] = []
        self.ratings: list[tuple[str, Rating]] = []

    def answers(self, choices: Sequence[Call]) -> list[AsyncGenerator[Event]]:
        return [self.answer(call) for call in choices]

    async def answer(self, call: Call) -> AsyncGenerator[Event]:
        self.calls.append(call)
        text = self.texts[(len(self.calls) - 1) % len(self.texts)]
        try:
            if self.error is not None:
                raise self.error
            await asyncio.sleep(self.seconds)
            wanted = call.sampling.logprobs
            of_prompt = _of_prompt(call)
            if call.sampling.max_tokens == 0:
                yield Event("", 7, 0, "length", "base", prompt_logprobs=of_prompt, prompt_text=_text(call))
                return
            for i, letter in enumerate(text, start=1):
                top = tuple(TokenLogprob(ord(c), c.encode(), -0.5) for c in "xy"[: wanted or 0])
                logprobs = (
                    ()
                    if wanted is None
                    else tuple(TokenLogprob(byte, bytes([byte]), -0.25, top) for byte in letter.encode())
                )
                rag = call.model.with_retrieval and i == 1
                yield Event(
                    letter,
                    7,
                    i,
                    self.finish if i == len(text) else None,
                    "base",
                    passages=(PASSAGE,) if rag else (),
                    retrieved=await self.retrieve(text, call.retrieval or Retrieval(), "") if rag else None,
                    cached_tokens=4,
                    logprobs=logprobs,
                    prompt_logprobs=of_prompt if i == 1 else (),
                    prompt_text=_text(call) if i == 1 else "",
                )
                await asyncio.sleep(0)
        finally:
            self.closed += 1

    async def retrieve(self, question: str, asked: Retrieval, traceparent: str) -> Retrieved:
        self.retrievals.append((question, asked))
        if self.error is not None:
            raise self.error
        timings_ms = {"embed": 1.24, "search": 2.0, "total": 3.5}
        return Retrieved((PASSAGE,), ("docs",), asked, timings_ms, generations={"docs": 2})

    async def rate(self, request_id: str, rating: Rating) -> None:
        self.ratings.append((request_id, rating))

    async def passage(self, collection: str, chunk_id: str, tenant: str | None) -> Passage:
        await self.check_collection(collection)
        if (chunk_id, tenant) != (PASSAGE.chunk_id, None):
            raise NotFound(f"There is no passage '{chunk_id}' in '{collection}'.")
        return PASSAGE

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

    async def check_ready(self, timeout_s: float) -> None:
        if self.error is not None:
            raise self.error

    async def embed(
        self, inputs: Sequence[Input], input_type: InputType, model: str, long_texts: LongTexts
    ) -> Embedded:
        self.embedded.append((list(inputs), long_texts))
        vectors = np.array([[0.6, 0.0, 0.8] for _ in inputs], np.float32)
        return Embedded(vectors, tokens=sum(map(len, inputs)))

    async def rerank(self, query: str, documents: Sequence[str], model: str) -> list[float]:
        if model != "reranker":
            raise ModelNotFound(f"There is no reranker '{model}'.")
        return [document.count(query) / 10 for document in documents]

    async def count_scored_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(text) for text in texts)

    async def check_uncut(self, documents: Sequence[str], limit_tokens: int) -> None:
        check_uncut([len(document) for document in documents], limit_tokens, reads_tokens=512)

    async def tokenize(self, call: Call, add_special_tokens: bool) -> Tokens:
        text = call.prompt or (call.messages or ())[0].content
        return Tokens((2, *text.encode()) if add_special_tokens else tuple(text.encode()), 512)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode()

    async def tokenizer_info(self) -> TokenizerInfo:
        return TOKENIZER


def _text(call: Call) -> str:
    """The prompt of a call that is echoed; its tokens are bytes."""
    if not call.is_echoed:
        return ""
    return call.prompt if isinstance(call.prompt, str) else bytes(call.prompt).decode()


def _of_prompt(call: Call) -> tuple[TokenLogprob, ...]:
    count = call.sampling.prompt_logprobs
    if count is None:
        return ()
    begin = () if not isinstance(call.prompt, str) else (TokenLogprob(2, b"<bos>", None, is_text=False),)
    tokens = call.prompt.encode() if isinstance(call.prompt, str) else call.prompt
    top = tuple(TokenLogprob(ord(c), c.encode(), -0.5, rank=rank) for rank, c in enumerate("xy"[:count], start=1))
    told = [TokenLogprob(t, bytes([t]), -0.125, top, 3) for t in tokens]
    return (*begin, *(told if begin else (replace(told[0], logprob=None, top=(), rank=None), *told[1:])))


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
