"""A candidate answers copies unseen: asked as the champion was, judged where that is, and at no cost to users."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from plait.errors import NotFinite
from plait.evaluation.live.answer import LiveAnswer
from plait.model_ids import AdapterRef, ModelId
from plait.serve.api.reviews import Reviews
from plait.serve.api.services import services
from plait.serve.api.shadows import _MAX_UNDER_WAY, Shadows
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.calls import Call, Event
from plait.serve.messages.rollouts import RolloutPart, Shadow
from serve_api.fakes import PASSAGE, Fakes

PART = RolloutPart("support", "r1", -1, is_candidate=True)
CHAMPION = replace(PART, is_candidate=False)
BODY = {"model": "rag/support@champion", "messages": [{"role": "user", "content": "hi"}], "seed": 4}


class Shadowed(Fakes):
    """Whose last events say that a copy shall be answered."""

    async def answer(self, call: Call) -> AsyncGenerator[Event]:
        async for event in super().answer(call):
            last = event.finish_reason is not None
            yield replace(event, part=CHAMPION, shadow=Shadow("support:4", PART)) if last else event


class LLM:
    """Answers copies."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.error: Exception | None = None
        self.generate = SimpleNamespace(remote=self._generate)

    def options(self, **_: Any) -> "LLM":
        return self

    async def _generate(self, call: Call) -> AsyncGenerator[Event]:
        self.calls.append(call)
        await self.is_open.wait()
        if self.error is not None:
            raise self.error
        yield Event("un", 7, 1, answered_by="support:4")
        yield Event("seen", 7, 2, "stop", answered_by="support:4")


class Reviewer:
    def __init__(self) -> None:
        self.taken: list[tuple[LiveAnswer, bool, RolloutPart | None]] = []
        self.review = SimpleNamespace(remote=self._review)

    async def _review(self, answer: LiveAnswer, is_judged: bool, part: RolloutPart | None) -> None:
        self.taken.append((answer, is_judged, part))


@pytest.fixture
def llm() -> LLM:
    return LLM()


async def asked(llm: LLM, reviewer: Reviewer | None, times: int = 1, share: float = 1.0) -> None:
    behind: Any = llm
    reviews: Any = None
    if reviewer is not None:
        handle: Any = reviewer
        reviews = Reviews(
            handle, AppArguments.model_validate({"judging": {"share": share}, "answers": {"keep": "all"}})
        )
    fakes = Shadowed()
    caller: Any = SimpleNamespace(owner="somebody", tenant="acme")
    fakes._caller = caller
    fakes._reviews, fakes._shadows = reviews, Shadows(behind, reviews)
    api = build_api()
    api.dependency_overrides[services] = lambda: fakes
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for _ in range(times):
            response = await client.post("/v1/chat/completions", json=BODY)
            assert response.json()["choices"][0]["message"]["content"] == "hello"
    for _ in range(8):
        await asyncio.sleep(0)


async def test_a_copy_is_asked_as_the_request_was_with_the_same_passages_and_judged_beside_it(llm: LLM) -> None:
    reviewer = Reviewer()
    await asked(llm, reviewer)
    (call,) = llm.calls
    assert call.model == ModelId(AdapterRef("support", 4))
    assert (call.passages, call.shadow_of, call.cache_salt, call.sampling.seed) == ((PASSAGE,), PART, "acme", 4)
    (given, _, its_part), (shadow, is_judged, part) = reviewer.taken
    assert (given.reply, its_part) == ("hello", CHAMPION)
    assert (shadow.reply, shadow.answered_by, is_judged, part) == ("unseen", "support:4", True, PART)
    assert shadow.request_id == given.request_id


async def test_copies_are_answered_where_nothing_is_judged_too(llm: LLM) -> None:
    await asked(llm, None)
    assert len(llm.calls) == 1
    reviewer = Reviewer()
    await asked(llm, reviewer, share=0.0)
    assert [answer.reply for answer, *_ in reviewer.taken] == ["hello"]


async def test_a_candidate_that_hangs_or_fails_costs_no_user_an_answer(llm: LLM) -> None:
    llm.is_open.clear()
    await asked(llm, None, times=_MAX_UNDER_WAY + 3)
    assert len(llm.calls) == _MAX_UNDER_WAY
    llm.is_open.set()
    llm.error = NotFinite("NaN")
    await asked(llm, Reviewer())
