"""Answers are judged in the background: scores are counted, and a judge that fails or hangs costs scores alone."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from counted import counting
from evaluation.live.rated_answers import live

from plait.errors import Unavailable
from plait.evaluation.judges.judge import Claims, Judge
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.live.route import Route
from plait.evaluation.score import Score
from plait.observability import metrics
from plait.serve.deployments import judging_thread
from plait.serve.deployments.judging_thread import JudgingThread
from plait.serve.messages.arguments import JudgingArguments

Make = Callable[..., JudgingThread]


class Keeper:
    """Notes the scores of answers that are kept."""

    def __init__(self) -> None:
        self.scores: list[tuple[str, str, Mapping[str, Score], bool]] = []

    def add_scores(self, kept: "Future[str]", judge: str, scores: Mapping[str, Score], is_model: bool) -> None:
        self.scores.append((kept.result(), judge, scores, is_model))


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged."""
    said: list[str] = []
    log = SimpleNamespace(warning=lambda text, *values: said.append(text % values))
    monkeypatch.setattr(judging_thread, "_log", log)
    return said


@pytest.fixture
def make(keeper: Keeper) -> Iterator[Make]:
    made: list[JudgingThread] = []

    def make(judge: Judge | Callable[[], AbstractAsyncContextManager[Judge]], **how: Any) -> JudgingThread:
        opened = judge if callable(judge) else opening(judge)
        kept: Any = keeper
        thread = JudgingThread(JudgingArguments.model_validate({"share": 1.0} | how), opened, None, kept)
        made.append(thread)
        return thread

    yield make
    for thread in made:
        thread.close()


def opening(judge: Judge) -> Callable[[], AbstractAsyncContextManager[Judge]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Judge]:
        yield judge

    return opened


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def known(trace_id: str) -> "Future[str]":
    kept: Future[str] = Future()
    kept.set_result(trace_id)
    return kept


def test_scores_are_counted_by_model_adapter_and_collection_and_kept_with_the_answer(
    make: Make, keeper: Keeper
) -> None:
    labels = {"model_name": "rag/support", "adapter": "support", "collection": "docs"}
    scores = counting(metrics.JUDGED_SCORE, "sum", metric="faithfulness", **labels)
    judged = counting(metrics.JUDGED, metric="faithfulness", outcome="judged")
    make(LexicalJudge()).add(live(), known("tr-1"))
    until(lambda: bool(keeper.scores))
    assert (scores(), judged()) == (1.0, 1.0)
    ((trace_id, judge, said, is_model),) = keeper.scores
    assert (trace_id, judge, is_model) == ("tr-1", "lexical", False)
    assert {name: score.value for name, score in said.items()} == {"faithfulness": 1.0, "answer_relevance": 1.0}


def test_scores_of_auto_are_counted_by_arm_and_policy_too(make: Make, keeper: Keeper) -> None:
    scores = counting(metrics.ROUTE_JUDGED_SCORE, "sum", metric="faithfulness", arm="rag/support:3", policy="made:2")
    thread = make(LexicalJudge())
    thread.add(live(model="auto", route=Route("rag/support:3", "made:2", "It is best.")), known("tr-1"))
    thread.add(live(), known("tr-2"))
    until(lambda: len(keeper.scores) == 2)
    assert scores() == 1.0


def test_grounding_is_not_scored_where_nothing_was_looked_for(make: Make, keeper: Keeper) -> None:
    thread = make(LexicalJudge())
    thread.add(live(passages=(), is_grounded=False), known("direct"))
    thread.add(live(passages=(), is_grounded=True), known("found nothing"))
    until(lambda: len(keeper.scores) == 2)
    direct, grounded = (sorted(said) for _, _, said, _ in keeper.scores)
    assert (direct, grounded) == (["answer_relevance"], ["answer_relevance", "faithfulness"])


def test_what_cannot_be_said_is_counted_as_that(make: Make, keeper: Keeper) -> None:
    unsaid = counting(metrics.JUDGED, metric="answer_relevance", outcome="cannot_be_said")
    scores = counting(metrics.JUDGED_SCORE, "count", metric="answer_relevance")
    make(LexicalJudge()).add(live(reply="Yes."), known("tr-1"))
    until(lambda: bool(keeper.scores))
    assert (unsaid(), scores()) == (1.0, 0.0)


class Failing(LexicalJudge):
    """Raises, or hangs in its event loop, or hangs its thread, at the first answers; then it judges."""

    def __init__(self, *first: Callable[[], Any]) -> None:
        self._first = list(first)

    async def claims(self, question: str, reply: str) -> Claims:
        if self._first:
            waited = self._first.pop(0)()
            if waited is not None:
                await waited
        return await super().claims(question, reply)


def raises() -> None:
    raise RuntimeError("it quotes what was said")


def test_a_judge_that_fails_or_does_not_answer_in_time_costs_the_score_of_that_answer(
    make: Make, keeper: Keeper, lines: list[str]
) -> None:
    failed = counting(metrics.JUDGED, metric="faithfulness", outcome="failed")
    thread = make(Failing(raises, lambda: asyncio.sleep(60)), timeout_s=0.05, metrics=["faithfulness"])
    for number in range(3):
        thread.add(live(), known(f"tr-{number}"))
    until(lambda: bool(keeper.scores))
    assert failed() == 2
    assert [trace_id for trace_id, *_ in keeper.scores] == ["tr-2"]
    assert lines == [f"an answer is not judged by faithfulness ({why})" for why in ("RuntimeError", "TimeoutError")]


def test_a_judge_that_hangs_fills_the_queue_and_what_is_more_is_dropped_at_once(make: Make) -> None:
    dropped = counting(metrics.JUDGED, outcome="dropped")
    hangs, is_at_work = threading.Event(), threading.Event()

    def hang() -> None:
        is_at_work.set()
        hangs.wait(30)

    thread = make(Failing(hang), max_waiting=2)
    thread.add(live(), None)
    assert is_at_work.wait(10)
    started = time.monotonic()
    for _ in range(10):
        thread.add(live(), None)
    assert time.monotonic() - started < 1
    assert dropped() == 8 * 2  # of two metrics
    thread.close()  # what waits is dropped; nobody waits for the judge
    thread.add(live(), None)
    assert time.monotonic() - started < 2
    assert dropped() == (8 + 2 + 1) * 2
    hangs.set()


def test_a_judge_that_cannot_be_opened_is_opened_again(
    make: Make, keeper: Keeper, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging_thread, "_OPEN_AGAIN_AFTER_S", 0.01)
    tried = 0

    @asynccontextmanager
    async def opened() -> AsyncIterator[Judge]:
        nonlocal tried
        tried += 1
        if tried < 4:
            raise Unavailable("It is not there.")
        yield LexicalJudge()

    make(opened).add(live(), known("tr-1"))
    until(lambda: bool(keeper.scores))
    assert lines == ["the judge cannot be opened (unavailable)"] * 3
