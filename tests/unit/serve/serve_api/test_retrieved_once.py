"""Choices of one question share what was retrieved for it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from plait.engines.engine import Sampling
from plait.model_ids import ModelId
from plait.models.message import Message
from plait.retrieval.request import Retrieval
from plait.serve.api.caller import Caller
from plait.serve.api.services import Deployments, Services
from plait.serve.messages.arguments import AppArguments, RetrievalArguments
from plait.serve.messages.calls import Call, Event, Retrieved
from serve_api.fakes import PASSAGE


class Retriever:
    """Finds the same passage for every question; keeps the questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.retrieve = self

    async def remote(self, question: str, options: Retrieval, traceparent: str) -> Retrieved:
        self.asked.append(question)
        await asyncio.sleep(0)
        return Retrieved((PASSAGE,), ("docs",), options, {"total": 1.0})


class OneToken(Services):
    def __init__(self, retriever: Any) -> None:
        nothing: Any = None
        arguments = AppArguments(retrieval=RetrievalArguments(collection="docs"))
        super().__init__(Deployments(nothing, retriever, arguments=arguments), Caller(frozenset()))

    async def _generated(self, call: Call) -> AsyncGenerator[Event]:
        yield Event(f"{call.sampling.seed} from {len(call.passages)}", 1, 1, "stop")


async def test_three_choices_of_a_question_are_retrieved_for_once() -> None:
    retriever = Retriever()
    call = Call(ModelId.parse("rag/base"), Sampling(max_tokens=1, seed=0), (Message("user", "why?"),))
    choices = [replace(call, sampling=replace(call.sampling, seed=seed)) for seed in (7, 8, 9)]

    async def text(events: AsyncGenerator[Event]) -> str:
        return "".join([event.text async for event in events])

    texts = await asyncio.gather(*map(text, OneToken(retriever).answers(choices)))
    assert texts == ["7 from 1", "8 from 1", "9 from 1"]
    assert retriever.asked == ["why?"]
