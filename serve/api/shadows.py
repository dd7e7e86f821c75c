"""Shadows: copies of requests that a candidate answers unseen, so that it is measured before anybody depends on it.

In: an answer that was given, with what the model's replica drew for it. Out: nothing to the client; the replica that
answers the copy reports how that went, and the reviewer judges it where it judges the answer that was given.
"""

import asyncio
import logging
from dataclasses import replace

from ray.serve.handle import DeploymentHandle

from plait.errors import first_line
from plait.model_ids import AdapterRef, ModelId
from plait.serve.api.answer import Answer
from plait.serve.api.reviews import Reviews
from plait.serve.messages.rollouts import Shadow

_MAX_UNDER_WAY = 4
"""Of one replica of the API; users come first, so what is more is not answered."""
_log = logging.getLogger("ray.serve")


class Shadows:
    """The copies that one replica of the API has answered. `reviews`: None where nothing is judged."""

    def __init__(self, llm: DeploymentHandle, reviews: Reviews | None) -> None:
        self._llm, self._reviews = llm, reviews
        self._under_way: set[asyncio.Task[None]] = set()

    def offer(self, answer: Answer, owner: str, cache_salt: str) -> None:
        """Have the candidate answer what an answer was given to, if that was drawn; returns at once."""
        shadow = answer.choices[0].last.shadow
        if shadow is None or len(self._under_way) >= _MAX_UNDER_WAY:
            return
        answering = asyncio.create_task(self._try_to_answer(answer, shadow, owner, cache_salt))
        self._under_way.add(answering)
        answering.add_done_callback(self._under_way.discard)

    async def _try_to_answer(self, answer: Answer, shadow: Shadow, owner: str, cache_salt: str) -> None:
        try:
            await self._answer(answer, shadow, owner, cache_salt)
        except Exception as error:  # the candidate's are counted where they happen
            _log.warning("'%s' did not answer a copy (%s)", shadow.candidate, first_line(error))

    async def _answer(self, answer: Answer, shadow: Shadow, owner: str, cache_salt: str) -> None:
        first = answer.choices[0].first
        call = replace(
            answer.call,
            model=ModelId(AdapterRef.parse(shadow.candidate)),
            passages=first.passages if first is not None else (),
            retrieval=None,
            is_streamed=False,
            cache_salt=cache_salt,
            shadow_of=shadow.part,
        )
        given = self._reviews.live(answer, owner) if self._reviews is not None else None
        text, answered_by = "", ""
        async for event in self._llm.options(stream=True, _by_reference=False).generate.remote(call):
            text, answered_by = text + event.text, event.answered_by
        if self._reviews is not None and given is not None and text.strip():
            self._reviews.offer_shadow(replace(given, reply=text.strip(), answered_by=answered_by), shadow.part)
