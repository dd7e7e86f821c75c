"""Keeps answers and what is said of them, one after the other in a thread of its own: MLflow's stores take milliseconds
to seconds.

In: answers, scores, ratings. Out: what came of each, as futures. What would wait too long is dropped, and counted.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

from plait.errors import Overloaded, PlaitError
from plait.evaluation.live.answer import KeptAnswer, LiveAnswer, Rating
from plait.evaluation.live.traces import AnswerTraces
from plait.evaluation.score import Score
from plait.observability import metrics

T = TypeVar("T")
_log = logging.getLogger("ray.serve")
_MAX_WAITING = 200
"""Answers, scores and ratings that wait to be written. SQLite takes some ten milliseconds each, so a rating that comes
behind all of them is still kept before its client gives up."""
_FORGET_EVERY_S = 60 * 60.0


class AnswerKeeper:
    """The answers that are kept, and a thread that writes them.

    Args:
        max_age_days: older answers are deleted, now and every hour.
        opened: opens where they are kept.
    """

    def __init__(self, max_age_days: float, opened: Callable[[], AnswerTraces] = AnswerTraces) -> None:
        self._max_age_days, self._open = max_age_days, opened
        self._traces: AnswerTraces | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keep-answers")
        self._places = threading.Semaphore(_MAX_WAITING)
        self._is_closed = threading.Event()
        threading.Thread(target=self._forget_now_and_then, name="forget-answers", daemon=True).start()

    def keep(self, answer: LiveAnswer) -> "Future[str] | None":
        """Keep an answer; returns what will be the id of its trace, or None when it is dropped."""
        kept = self._later(lambda traces: traces.keep(answer))
        if kept is None:
            metrics.ANSWERS_KEPT.labels("dropped").inc()
        else:
            kept.add_done_callback(_count)
        return kept

    def add_scores(
        self, kept: "Future[str]", judge: str, scores: Mapping[str, Score], is_model: bool
    ) -> "Future[None] | None":
        """Add scores to an answer that was taken before; None when they are dropped."""
        added = self._later(lambda traces: traces.add_scores(kept.result(), judge, scores, is_model))
        if added is not None:
            added.add_done_callback(_tell)
        return added

    def rate(self, request_id: str, owner: str | None, rating: Rating) -> "Future[str]":
        """Keep a rating, after what was taken before it; returns what will be the model id of the answer.

        Raises:
            Overloaded: when too much waits.
        """
        return self._in_turn(lambda traces: traces.rate(request_id, owner, rating))

    def find(self, request_id: str, owner: str | None) -> "Future[KeptAnswer]":
        """Look up an answer, after what was taken before is kept.

        Raises:
            Overloaded: when too much waits.
        """
        return self._in_turn(lambda traces: traces.find(request_id, owner))

    def close(self) -> None:
        """Drop what waits; what is being written is written."""
        self._is_closed.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _in_turn(self, work: Callable[[AnswerTraces], T]) -> "Future[T]":
        done = self._later(work)
        if done is None:
            raise Overloaded("Too many answers and ratings wait to be kept.", "Try again in a moment.", 5.0)
        return done

    def _later(self, work: Callable[[AnswerTraces], T]) -> "Future[T] | None":
        if self._is_closed.is_set() or not self._places.acquire(blocking=False):
            return None
        done = self._thread.submit(self._do, work)
        done.add_done_callback(lambda _: self._places.release())
        return done

    def _do(self, work: Callable[[AnswerTraces], T]) -> T:
        if self._traces is None:
            self._traces = self._open()
        return work(self._traces)

    def _forget_now_and_then(self) -> None:
        while not self._is_closed.is_set():
            forgotten = self._later(lambda traces: traces.forget(self._max_age_days))
            if forgotten is not None:
                forgotten.add_done_callback(_tell)
            self._is_closed.wait(_FORGET_EVERY_S)


def _count(kept: "Future[str]") -> None:
    outcome = "dropped" if kept.cancelled() else "failed" if kept.exception() else "kept"
    metrics.ANSWERS_KEPT.labels(outcome).inc()
    _tell(kept)


def _tell(done: "Future[T]") -> None:
    """A line in the log for what failed; it does not quote what was said."""
    error = None if done.cancelled() else done.exception()
    if error is not None and not isinstance(error, CancelledError):
        known = str(error) if isinstance(error, PlaitError) else type(error).__name__
        _log.warning("an answer, or what is said of it, is not kept (%s)", known)
