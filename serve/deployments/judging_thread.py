"""Judges answers one at a time, in a thread with an event loop of its own, so that a judge that hangs holds up nothing
but the answers that wait to be judged.

In: answers. Out: scores, as metrics, and with the answers that are kept. Answers wait in a bounded queue; what is more
is dropped, and counted.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from plait.errors import PlaitError
from plait.evaluation.judges.judge import Judge
from plait.evaluation.live.answer import LiveAnswer
from plait.evaluation.metrics.metric import Instruments, Metric, lacking, metric
from plait.evaluation.score import Score
from plait.models.embedding import Embedding
from plait.observability import metrics
from plait.recipes.judging import JudgeEndpoint
from plait.serve.deployments.answer_keeper import AnswerKeeper
from plait.serve.messages.arguments import JudgingArguments
from plait.serve.messages.rollouts import JudgedAnswer, RolloutPart

_log = logging.getLogger("ray.serve")
_LOOK_WHETHER_CLOSED_EVERY_S = 0.5
_OPEN_AGAIN_AFTER_S = 30.0


@dataclass(frozen=True)
class _Waiting:
    """An answer to be judged. `kept`: the id of its trace, if it is kept. `part`: that it has in a rollout."""

    answer: LiveAnswer
    kept: "Future[str] | None"
    part: RolloutPart | None


class JudgingThread:
    """A judge at work.

    Args:
        open_judge: the judge, open for as long as the thread works.
        embedding: what metrics compare meanings by.
        keeper: gets the scores of answers that are kept.
        tell: is told, in the thread, the scores of answers that have a part in a rollout.
    """

    def __init__(
        self,
        how: JudgingArguments,
        open_judge: Callable[[], AbstractAsyncContextManager[Judge]],
        embedding: Embedding | None = None,
        keeper: AnswerKeeper | None = None,
        tell: Callable[[JudgedAnswer], None] | None = None,
    ) -> None:
        self._how, self._open_judge, self._embedding, self._keeper = how, open_judge, embedding, keeper
        self._tell = tell
        self._is_model = isinstance(how.judge, JudgeEndpoint)
        self._waiting: queue.Queue[_Waiting] = queue.Queue(how.max_waiting)
        self._is_closed = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._work()), name="judge-answers", daemon=True).start()

    def add(self, answer: LiveAnswer, kept: "Future[str] | None", part: RolloutPart | None = None) -> None:
        """Have an answer judged, or drop it when too many wait; returns at once."""
        try:
            if self._is_closed.is_set():
                raise queue.Full
            self._waiting.put_nowait(_Waiting(answer, kept, part))
        except queue.Full:
            self._count_dropped()

    def close(self) -> None:
        """Drop what waits; nobody waits for what is being judged."""
        self._is_closed.set()
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                return
            self._count_dropped()

    def _count_dropped(self) -> None:
        for name in self._how.metrics:
            metrics.JUDGED.labels(name, "dropped").inc()

    async def _work(self) -> None:
        while not self._is_closed.is_set():
            try:
                async with self._open_judge() as judge:
                    instruments = Instruments(judge, self._embedding)
                    await self._judge([metric(name, instruments) for name in self._how.metrics], judge.name)
            except Exception as error:  # whatever it is, answers that come later may be judged again
                _log.warning("the judge cannot be opened (%s)", _said_safely(error))
                self._is_closed.wait(_OPEN_AGAIN_AFTER_S)

    async def _judge(self, by: Sequence[Metric], judge: str) -> None:
        while not self._is_closed.is_set():
            try:
                waiting = self._waiting.get(timeout=_LOOK_WHETHER_CLOSED_EVERY_S)
            except queue.Empty:
                continue
            sample = waiting.answer.sample
            scores = {}
            for each in by:
                if not lacking(each.needs, sample):
                    score = await self._score(each, waiting.answer, waiting.part)
                    if score is not None:
                        scores[each.name] = score
            if scores and self._keeper is not None and waiting.kept is not None:
                self._keeper.add_scores(waiting.kept, judge, scores, self._is_model)

    async def _score(self, by: Metric, answer: LiveAnswer, part: RolloutPart | None) -> Score | None:
        """A score, counted; None where there is none, because the judge failed."""
        try:
            score = await asyncio.wait_for(by.score(answer.sample), self._how.timeout_s)
        except Exception as error:  # a judge's fault is no user's
            _log.warning("an answer is not judged by %s (%s)", by.name, _said_safely(error))
            metrics.JUDGED.labels(by.name, "failed").inc()
            return None
        metrics.JUDGED.labels(by.name, "cannot_be_said" if score.value is None else "judged").inc()
        if score.value is not None and self._tell is not None and part is not None:
            self._tell(JudgedAnswer(part, by.name, score.value))
        if score.value is not None and answer.route is not None:
            metrics.ROUTE_JUDGED_SCORE.labels(
                by.name, metrics.model_label(answer.route.arm), metrics.policy_label(answer.route.policy)
            ).observe(score.value)
        if score.value is not None and (part is None or not part.is_shadow):
            metrics.JUDGED_SCORE.labels(
                by.name,
                metrics.model_label(answer.model),
                metrics.adapter_label(answer.adapter),
                metrics.collection_label(answer.collection),
            ).observe(score.value)
        return score


def _said_safely(error: Exception) -> str:
    """What can stand in a log: others' messages may quote what was said."""
    return error.code if isinstance(error, PlaitError) else type(error).__name__
