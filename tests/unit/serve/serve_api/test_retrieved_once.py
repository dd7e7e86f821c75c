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
from plait.serve.api.services import Services
from plait.serve.messages.calls import Call, Event, Retrieved
from serve_api.fakes import PASSAGE


class Router:
    """Notes what it prepares."""

    def __init__(self) -> None:
        self.prepared: list[Call] = []
        self.prepare = self

    async def remote(self, call: Call) -> tuple[Call, Retrieved]:
        self.prepared.append(call)
        await asyncio.sleep(0)
        return replace(call, passages=(PASSAGE,)), Retrieved((PASSAGE,), "docs", Retrieval(), {"total": 1.0})


class OneToken(Services):
    def __init__(self, router: Any) -> None:
        self._router, self._caller = router, Caller(frozenset())

    async def _generated(self, call: Call) -> AsyncGenerator[Event]:
        yield Event(f"{call.sampling.seed} from {len(call.passages)}", 1, 1, "stop")


async def test_three_choices_of_a_question_are_retrieved_for_once() -> None:
    router = Router()
    call = Call(ModelId.parse("rag/base"), Sampling(max_tokens=1, seed=0), (Message("user", "why?"),))
    choices = [replace(call, sampling=replace(call.sampling, seed=seed)) for seed in (7, 8, 9)]

    async def text(events: AsyncGenerator[Event]) -> str:
        return "".join([event.text async for event in events])

    texts = await asyncio.gather(*map(text, OneToken(router).answers(choices)))
    assert texts == ["7 from 1", "8 from 1", "9 from 1"]
    assert len(router.prepared) == 1
