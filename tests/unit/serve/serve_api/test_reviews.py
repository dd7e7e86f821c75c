"""Answers go to the reviewer after they were given, whichever route gave them, and nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from counted import counting

from plait.chat_client import TASK_HEADER
from plait.errors import Overloaded, Unavailable
from plait.evaluation.live.answer import LiveAnswer, LivePassage, Rating
from plait.observability import metrics
from plait.scope import Scope
from plait.serve.api import reviews
from plait.serve.api.caller import Caller
from plait.serve.api.reviews import _MAX_ON_THE_WAY, Reviews
from plait.serve.api.services import services
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.rollouts import RolloutPart
from serve_api.fakes import CHAT, PASSAGE, WEATHER, Fakes

RAG = CHAT | {"model": "rag/support:3"}


class Reviewer:
    """Takes answers, or does not. `is_open`: whether it answers; `error`: what it raises."""

    def __init__(self) -> None:
        self.taken: list[tuple[LiveAnswer, bool]] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.error: Exception | None = None
        self.review = SimpleNamespace(remote=self._review)
        self.rate = SimpleNamespace(remote=self._rate)

    async def _rate(self, request_id: str, owner: str | None, rating: Rating) -> None:
        await self.is_open.wait()

    async def _review(self, answer: LiveAnswer, is_judged: bool, part: RolloutPart | None) -> None:
        await self.is_open.wait()
        if self.error is not None:
            raise self.error
        self.taken.append((answer, is_judged))


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


def reviewed(fakes: Fakes, reviewer: Any, **arguments: Any) -> Fakes:
    """Let the answers of a server with these arguments be reviewed."""
    fakes._caller = Caller(frozenset({Scope.INFER}))
    fakes._reviews = Reviews(reviewer, AppArguments.model_validate(arguments))
    return fakes


@pytest_asyncio.fixture
async def client(fakes: Fakes) -> AsyncIterator[httpx.AsyncClient]:
    api = build_api()
    api.dependency_overrides[services] = lambda: fakes
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", RAG),
        ("/v1/chat/completions", RAG | {"stream": True}),
        ("/v1/chat/completions", RAG | {"n": 2}),
        ("/v1/chat/completions", RAG | {"tools": [WEATHER]}),
        ("/v1/responses", {"model": "rag/support:3", "input": "hi"}),
        ("/v1/responses", {"model": "rag/support:3", "input": "hi", "stream": True}),
        ("/v1/messages", RAG | {"max_tokens": 9}),
        ("/v1/messages", RAG | {"max_tokens": 9, "stream": True}),
        ("/v1/rag/query", {"query": "hi", "model": "support:3"}),
    ],
)
async def test_an_answer_of_every_route_is_reviewed_once_as_it_was_given(
    client: httpx.AsyncClient, fakes: Fakes, reviewer: Reviewer, path: str, body: dict[str, Any]
) -> None:
    reviewed(fakes, reviewer, judging={"share": 1.0})
    response = await client.post(path, json=body, headers={"X-Request-Id": "job-7"})
    assert response.status_code == 200
    await settled()
    ((answer, is_judged),) = reviewer.taken
    assert is_judged
    assert (answer.request_id, answer.owner, answer.model, answer.adapter) == (
        "job-7",
        "anybody",
        "rag/support:3",
        "support",
    )
    assert (answer.question, answer.reply, answer.answered_by) == ("hi", "hello", "base")
    assert (answer.collections, answer.is_grounded) == (("docs",), True)
    assert (answer.generations, answer.tenant) == ({"docs": 2}, "default")
    assert answer.base_model == AppArguments().llm.model
    assert answer.passages == (LivePassage(PASSAGE.text, "ray.md", "c1", 3, 13, "docs", "h1"),)


async def test_an_answer_without_retrieval_is_reviewed_as_one(
    client: httpx.AsyncClient, fakes: Fakes, reviewer: Reviewer
) -> None:
    reviewed(fakes, reviewer, answers={"keep": "all"})
    await client.post("/v1/chat/completions", json=CHAT)
    await settled()
    ((answer, is_judged),) = reviewer.taken
    assert (answer.is_grounded, answer.passages, answer.collections, is_judged) == (False, (), (), False)


@pytest.mark.parametrize(
    ("path", "body", "headers", "text"),
    [
        ("/v1/completions", {"model": "base", "prompt": "hi"}, {}, "hello"),
        ("/v1/chat/completions", CHAT | {"response_format": {"type": "json_object"}}, {}, "{}"),
        ("/v1/chat/completions", CHAT, {TASK_HEADER: "title_generation"}, "hello"),
        ("/v1/chat/completions", CHAT, {TASK_HEADER: "judging"}, "hello"),
        ("/v1/chat/completions", CHAT, {}, " "),
        (
            "/v1/chat/completions",
            CHAT | {"tools": [WEATHER]},
            {},
            '<tool_call>{"name": "weather", "arguments": {"city": "x"}}</tool_call>',
        ),
        ("/v1/retrieve", {"query": "hi"}, {}, ""),
    ],
)
async def test_what_no_person_reads_as_an_answer_is_not_reviewed(
    client: httpx.AsyncClient,
    fakes: Fakes,
    reviewer: Reviewer,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str],
    text: str,
) -> None:
    reviewed(fakes, reviewer, judging={"share": 1.0}, answers={"keep": "all"})
    fakes.texts = [text]
    assert (await client.post(path, json=body, headers=headers)).status_code == 200
    await settled()
    assert reviewer.taken == []


async def test_neither_is_a_failed_request_nor_one_whose_client_left(
    client: httpx.AsyncClient, fakes: Fakes, reviewer: Reviewer
) -> None:
    reviewed(fakes, reviewer, judging={"share": 1.0})
    fakes.error = Overloaded("Too many.")
    assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 429
    fakes.error, fakes.seconds = None, 60.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.post("/v1/chat/completions", json=CHAT), 0.1)
    await settled()
    assert reviewer.taken == []


async def test_a_share_is_drawn_by_request_id(client: httpx.AsyncClient, fakes: Fakes, reviewer: Reviewer) -> None:
    reviewed(fakes, reviewer, judging={"share": 0.5})
    for _ in range(2):
        for number in range(20):
            await client.post("/v1/chat/completions", json=CHAT, headers={"X-Request-Id": f"r-{number}"})
    await settled()
    ids = [answer.request_id for answer, _ in reviewer.taken]
    assert ids[: len(ids) // 2] == ids[len(ids) // 2 :]
    assert 3 < len(set(ids)) < 17


async def test_a_reviewer_that_hangs_holds_up_no_answer_and_what_is_too_much_is_dropped(
    client: httpx.AsyncClient, fakes: Fakes, reviewer: Reviewer
) -> None:
    reviewed(fakes, reviewer, judging={"share": 1.0}, answers={"keep": "judged"})
    reviewer.is_open.clear()
    lost = counting(metrics.JUDGED, outcome="dropped")
    not_kept = counting(metrics.ANSWERS_KEPT, outcome="dropped")
    for _ in range(_MAX_ON_THE_WAY + 3):
        response = await asyncio.wait_for(client.post("/v1/chat/completions", json=CHAT | {"stream": True}), 5)
        assert response.text.endswith("data: [DONE]\n\n")
    assert (lost(), not_kept()) == (3 * 2, 3)  # of two metrics
    reviewer.is_open.set()
    await settled()
    assert len(reviewer.taken) == _MAX_ON_THE_WAY


async def test_a_reviewer_that_cannot_be_reached_costs_one_line_and_is_counted(
    client: httpx.AsyncClient, fakes: Fakes, reviewer: Reviewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(reviews, "_log", SimpleNamespace(warning=lambda text, *said: lines.append(text % said)))
    reviewed(fakes, reviewer, judging={"share": 1.0, "metrics": ["faithfulness"]})
    reviewer.error = RuntimeError("it quotes what was said")
    lost = counting(metrics.JUDGED, metric="faithfulness", outcome="failed")
    for _ in range(3):
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
    await settled()
    assert lost() == 3
    assert lines == ["answers are not reviewed: the reviewer cannot be reached (RuntimeError)"]


async def test_a_rating_that_is_not_kept_in_time_is_said(reviewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "_TIMEOUT_S", 0.01)
    reviewer.is_open.clear()
    with pytest.raises(Unavailable, match="cannot be kept now"):
        await Reviews(reviewer, AppArguments()).rate("job-7", None, Rating(1.0))


async def test_a_fault_of_the_review_does_not_reach_the_client(
    client: httpx.AsyncClient, fakes: Fakes, reviewer: Reviewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed(fakes, reviewer, judging={"share": 1.0})
    monkeypatch.delattr(LiveAnswer, "__init__")  # none can be made
    failed = counting(metrics.JUDGED, metric="faithfulness", outcome="failed")
    response = await client.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert "error" not in response.text
    assert failed() == 1
