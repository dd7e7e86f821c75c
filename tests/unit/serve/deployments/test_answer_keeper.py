"""Answers and ratings are written one after the other beside the requests; what is too much is dropped."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from counted import counting
from evaluation.live.rated_answers import live

from plait.errors import NotFound, Overloaded, Unavailable
from plait.evaluation.live.answer import LiveAnswer, Rating
from plait.evaluation.score import Score
from plait.observability import metrics
from plait.serve.deployments import answer_keeper
from plait.serve.deployments.answer_keeper import AnswerKeeper


class Traces:
    """A store that notes what is done, and may wait or fail."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.error: Exception | None = None

    def keep(self, answer: LiveAnswer) -> str:
        self._do(("keep", answer.request_id))
        return f"tr-{answer.request_id}"

    def add_scores(self, trace_id: str, judge: str, scores: Any, is_model: bool) -> None:
        self._do(("scores", trace_id, sorted(scores)))

    def rate(self, request_id: str, owner: str | None, rating: Rating) -> str:
        if ("keep", request_id) not in self.done:
            raise NotFound("There is no such answer.")
        self._do(("rate", request_id, owner, rating.value))
        return "base"

    def forget(self, max_age_days: float) -> int:
        self.done.append(("forget", max_age_days))
        return 0

    def _do(self, what: Any) -> None:
        assert self.is_open.wait(30)
        if self.error is not None:
            raise self.error
        self.done.append(what)


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture
def make(traces: Traces) -> Iterator[Callable[[], AnswerKeeper]]:
    made: list[AnswerKeeper] = []

    def make() -> AnswerKeeper:
        opened: Any = lambda: traces  # noqa: E731
        made.append(AnswerKeeper(7.0, opened))
        return made[-1]

    yield make
    traces.is_open.set()
    for keeper in made:
        keeper.close()


def test_a_rating_comes_after_the_answer_that_it_is_of(make: Callable[[], AnswerKeeper], traces: Traces) -> None:
    traces.is_open.clear()
    keeper = make()
    kept_now = counting(metrics.ANSWERS_KEPT, outcome="kept")
    kept = keeper.keep(live("r-1"))
    assert kept is not None
    added = keeper.add_scores(kept, "lexical", {"faithfulness": Score(1.0)}, False)
    rated = keeper.rate("r-1", "anybody", Rating(1.0))
    traces.is_open.set()
    assert rated.result(10) == "base"
    assert added is not None
    assert traces.done[-3:] == [
        ("keep", "r-1"),
        ("scores", "tr-r-1", ["faithfulness"]),
        ("rate", "r-1", "anybody", 1.0),
    ]
    assert ("forget", 7.0) in traces.done
    assert kept_now() == 1
    with pytest.raises(NotFound):
        keeper.rate("r-2", None, Rating(1.0)).result(10)


def test_what_would_wait_too_long_is_dropped_and_a_rating_is_told_so(
    make: Callable[[], AnswerKeeper], traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_keeper, "_MAX_WAITING", 3)
    traces.is_open.clear()
    keeper = make()
    dropped = counting(metrics.ANSWERS_KEPT, outcome="dropped")
    taken = [keeper.keep(live(f"r-{number}")) for number in range(8)]
    lost = taken.count(None)
    assert 5 <= lost <= 6  # the first deletion of old answers may still have a place
    assert dropped() == lost
    with pytest.raises(Overloaded):
        keeper.rate("r-0", None, Rating(1.0))
    traces.is_open.set()
    assert all(each.result(10) == f"tr-r-{number}" for number, each in enumerate(taken) if each)
    again = keeper.keep(live("r-9"))
    assert again is not None
    assert again.result(10) == "tr-r-9"


def test_a_store_that_fails_is_counted_and_tried_again(make: Callable[[], AnswerKeeper], traces: Traces) -> None:
    keeper = make()
    failed = counting(metrics.ANSWERS_KEPT, outcome="failed")
    traces.error = Unavailable("The tracking server does not answer.")
    lost = keeper.keep(live("r-1"))
    assert lost is not None
    with pytest.raises(Unavailable):
        lost.result(10)
    late = keeper.add_scores(lost, "lexical", {}, False)  # its answer is lost, and so are they
    assert late is not None
    with pytest.raises(Unavailable):
        late.result(10)
    traces.error = None
    kept = keeper.keep(live("r-2"))
    assert kept is not None
    assert kept.result(10) == "tr-r-2"
    assert failed() == 1


def test_at_the_end_what_waits_is_dropped_and_counted(make: Callable[[], AnswerKeeper], traces: Traces) -> None:
    traces.is_open.clear()
    keeper = make()
    dropped = counting(metrics.ANSWERS_KEPT, outcome="dropped")
    taken = [keeper.keep(live(f"r-{number}")) for number in range(4)]
    keeper.close()
    traces.is_open.set()
    waited = [each for each in taken if each is not None and each.cancelled()]
    assert len(waited) >= 3
    assert keeper.keep(live("r-9")) is None
    assert dropped() == len(waited) + 1
