"""Hands answers that were given to the reviewer, which judges and keeps them; nobody waits for that.

In: answers that have come to their end. Out: nothing; what would wait too long is dropped, and counted. It knows
neither judges nor where answers are kept.
"""

import asyncio
import logging
import time

from ray.serve.handle import DeploymentHandle

from plait.errors import NotFound, Unavailable
from plait.evaluation.live.answer import KeptAnswer, LiveAnswer, LivePassage, Rating, is_drawn
from plait.observability import metrics
from plait.serve.api.answer import Answer
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.calls import answering
from plait.serve.messages.rollouts import RolloutPart

_log = logging.getLogger("ray.serve")
_TIMEOUT_S = 30.0
_MAX_ON_THE_WAY = 64
"""Answers on their way to the reviewer. It takes each at once, so there are more only while it cannot be reached."""


class Reviews:
    """The reviewer, as the routes of one replica of the API see it."""

    def __init__(self, reviewer: DeploymentHandle, arguments: AppArguments) -> None:
        self._reviewer = reviewer
        self._judging, self._keep = arguments.judging, arguments.answers.keep
        self._base_model = arguments.llm.model
        self._on_the_way: set[asyncio.Task[None]] = set()
        self._is_reached = True

    def offer(self, answer: Answer, owner: str) -> None:
        """Send an answer if it is to be judged or kept; returns at once."""
        is_judged = is_drawn(answer.call.request_id, self._judging.share)
        if not (is_judged or self._keep == "all"):
            return
        try:
            live = self.live(answer, owner)
        except Exception:  # a fault of ours must not become the end of an answer that was given
            _log.exception("an answer is not reviewed")
            self._count_lost(is_judged, "failed")
            return
        if live is not None:
            self._begin(live, is_judged, answer.choices[0].last.part)

    def live(self, answer: Answer, owner: str) -> LiveAnswer | None:
        """What is judged and kept of an answer; None where no person would read a question and a reply."""
        return _live(answer, owner, self._base_model)

    def offer_shadow(self, shadow: LiveAnswer, part: RolloutPart) -> None:
        """Send an answer that nobody sees, if the one that was given to its request is judged; returns at once."""
        if is_drawn(shadow.request_id, self._judging.share):
            self._begin(shadow, True, part)

    def _begin(self, live: LiveAnswer, is_judged: bool, part: RolloutPart | None) -> None:
        if len(self._on_the_way) >= _MAX_ON_THE_WAY:
            self._count_lost(is_judged, "dropped")
            return
        sending = asyncio.create_task(self._send(live, is_judged, part))
        self._on_the_way.add(sending)
        sending.add_done_callback(self._on_the_way.discard)

    async def rate(self, request_id: str, owner: str | None, rating: Rating) -> None:
        """Keep what a person says of an answer; `owner`: whose it must be, None for anybody's.

        Raises:
            NotFound: when no such answer is kept.
            Overloaded: when too much waits to be kept.
            Unavailable: when it is not kept in time.
        """
        try:
            await asyncio.wait_for(self._rate(request_id, owner, rating), _TIMEOUT_S)
        except TimeoutError:
            raise Unavailable("Ratings cannot be kept now.", "Try again in a moment.") from None

    async def find(self, request_id: str, owner: str | None) -> KeptAnswer:
        """An answer that is kept; `owner`: whose it must be, None for anybody's.

        Raises:
            NotFound: when no such answer is kept.
            Overloaded: when too much waits to be kept.
            Unavailable: when it is not found in time.
        """
        if self._keep == "none":
            raise NotFound("This server keeps no answers.", "Let it keep them: set answers.keep.")
        try:
            return await asyncio.wait_for(self._find(request_id, owner), _TIMEOUT_S)
        except TimeoutError:
            raise Unavailable("Answers cannot be looked up now.", "Try again in a moment.") from None

    async def _find(self, request_id: str, owner: str | None) -> KeptAnswer:
        found: KeptAnswer = await self._reviewer.find.remote(request_id, owner)
        return found

    async def _rate(self, request_id: str, owner: str | None, rating: Rating) -> None:
        await self._reviewer.rate.remote(request_id, owner, rating)

    async def _send(self, live: LiveAnswer, is_judged: bool, part: RolloutPart | None) -> None:
        try:
            await self._reviewer.review.remote(live, is_judged, part)
            self._is_reached = True
        except Exception as error:
            if self._is_reached:  # once, and not for every answer
                _log.warning("answers are not reviewed: the reviewer cannot be reached (%s)", type(error).__name__)
            self._is_reached = False
            self._count_lost(is_judged, "failed")

    def _count_lost(self, is_judged: bool, outcome: str) -> None:
        if is_judged:
            for metric in self._judging.metrics:
                metrics.JUDGED.labels(metric, outcome).inc()
        if self._keep == "all" or (self._keep == "judged" and is_judged):
            metrics.ANSWERS_KEPT.labels(outcome).inc()


def _live(answer: Answer, owner: str, base_model: str) -> LiveAnswer | None:
    """What is kept and judged of an answer; None where there is no question or no reply that a person would read.

    Of several choices it is the first. A call of a tool, or JSON by a schema, is for a program to read.
    """
    call, choice = answer.call, answer.choices[0]
    if call.sampling.constraint is not None or choice.tool_calls or choice.first is None:
        return None
    if not call.messages or call.messages[-1].role != "user" or not choice.answer.strip():
        return None
    retrieved = choice.first.retrieved
    adapter = answering(call, choice.first).adapter
    took_ms = int(answer.elapsed_ms)
    return LiveAnswer(
        request_id=call.request_id,
        owner=owner,
        model=str(call.model),
        adapter=adapter.name if adapter else "",
        answered_by=choice.last.answered_by,
        collections=retrieved.collections if retrieved else (),
        conversation=call.messages,
        reply=choice.answer.strip(),
        passages=tuple(
            LivePassage(
                passage.text,
                passage.source,
                passage.chunk_id,
                passage.start,
                passage.end,
                passage.collection,
                passage.content_hash,
            )
            for passage in choice.first.passages
        ),
        is_grounded=retrieved is not None,
        route=choice.first.route,
        tokens=choice.last.prompt_tokens + choice.last.generated_tokens,
        started_ms=int(time.time() * 1000) - took_ms,
        took_ms=took_ms,
        location=choice.first.location,
        base_model=base_model,
        generations=retrieved.generations if retrieved else {},
        tenant=retrieved.how.tenant if retrieved else "",
    )
