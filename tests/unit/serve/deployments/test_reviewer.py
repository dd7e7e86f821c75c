"""The reviewer as a whole: what it judges, what it keeps, and who judges."""

import asyncio
import os
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from counted import counting
from evaluation.live.rated_answers import live

from plait.errors import NotFound
from plait.evaluation.live.answer import Rating
from plait.evaluation.live.traces import AnswerTraces
from plait.observability import metrics
from plait.serve.deployments.reviewer import Reviewer
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.calls import Call, Event


@pytest.fixture(autouse=True)
def usual_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda by: by)


def reviewer(llm: Any = None, **arguments: Any) -> Reviewer:
    return Reviewer(AppArguments.model_validate(arguments), llm)


async def until(is_so: Any) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_judged_answers_alone_are_kept_where_that_is_asked_for() -> None:
    reviews = reviewer(judging={"share": 0.5}, answers={"keep": "judged"})
    judged = counting(metrics.JUDGED, metric="faithfulness", outcome="judged")
    up = counting(metrics.FEEDBACK, rating="up", model_name="rag/support")
    await reviews.review(live("drawn", owner="me"), True)
    await reviews.review(live("other", owner="me"), False)
    await until(lambda: judged() == 1)
    await reviews.rate("drawn", "me", Rating(0.5))
    assert up() == 1
    with pytest.raises(NotFound):
        await reviews.rate("other", "me", Rating(1.0))
    reviews.__del__()
    assert any(rated.rating.value == 0.5 for rated in AnswerTraces().rated())


async def test_a_judge_without_address_is_the_served_model_one_thing_at_a_time() -> None:
    calls: list[Call] = []

    class Response:
        def __init__(self, call: Call) -> None:
            calls.append(call)
            self._is_over = False

        def __aiter__(self) -> AsyncIterator[Event]:
            return self

        async def __anext__(self) -> Event:
            if self._is_over:
                raise StopAsyncIteration
            self._is_over = True
            return Event("no JSON", 5, 2, "stop", "base")

        def cancel(self) -> None:
            raise AssertionError("it has ended")

    llm = SimpleNamespace(options=lambda **_: SimpleNamespace(generate=SimpleNamespace(remote=Response)))
    unsaid = counting(metrics.JUDGED, metric="answer_relevance", outcome="cannot_be_said")
    reviews = reviewer(llm, judging={"share": 1.0, "metrics": ["answer_relevance"], "judge": {"model": "support:3"}})
    await reviews.review(live(), True)
    await until(lambda: unsaid() == 1)
    assert {(str(call.model), call.cache_salt, call.sampling.temperature) for call in calls} == {
        ("support:3", "judging", 0.0)
    }
    assert all(call.sampling.json_schema for call in calls)
    reviews.__del__()
