"""A request for an alias that is being rolled out: which version answers it, and what is told to the controller.

In: what was drawn for the request, and a way to have a version answer it. Out: the events of one answer. A candidate
that fails before its first token costs the client nothing: the champion answers. It knows no engine.
"""

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from plait.errors import DeadlineExceeded, Overloaded, find_plait_error, first_line
from plait.serve.adapters.names import Adapter, Drawn
from plait.serve.deployments.outcome_reports import OutcomeReports
from plait.serve.messages.calls import Event
from plait.serve.messages.rollouts import Outcome, RolloutPart

_log = logging.getLogger("ray.serve")
Answering = Callable[[Adapter], AsyncGenerator[Event]]


async def answered(
    drawn: Drawn, part: RolloutPart, answering: Answering, reports: OutcomeReports
) -> AsyncGenerator[Event]:
    """Have the drawn version answer; report how it went.

    Raises:
        Exception: of the version that answers; of a candidate only after its first token.
    """
    has_begun, is_shadow = False, part.is_candidate and drawn.fallback is None
    try:
        async with aclosing(_observed(part, answering(drawn.adapter), reports, is_shadow)) as events:
            async for event in events:
                has_begun = True
                yield replace(event, part=part, shadow=drawn.shadow) if event.finish_reason else event
        return
    except Exception as error:
        if drawn.fallback is None or has_begun:
            raise
        failed = error
    _log.warning(
        "'%s' failed before its first token (%s); '%s' answers",
        drawn.adapter.key,
        first_line(failed),
        drawn.fallback.key,
    )
    async with aclosing(answering(drawn.fallback)) as events:
        async for event in events:
            if not has_begun and _counts(failed, can_be_answered=True) and not _counts(failed):
                reports.add(Outcome(part, None))
            has_begun = True
            yield event


async def _observed(
    part: RolloutPart, events: AsyncGenerator[Event], reports: OutcomeReports, can_be_answered: bool
) -> AsyncGenerator[Event]:
    """Pass the events of an answer on; report how long it took, or that it failed."""
    started = time.perf_counter()
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except Exception as error:
        if _counts(error, can_be_answered):
            reports.add(Outcome(part, None))
        raise
    reports.add(Outcome(part, time.perf_counter() - started))


def _counts(error: Exception, can_be_answered: bool = False) -> bool:
    """Whether an error is one of the version that answers: by the same rule for both versions.

    `can_be_answered`: the other version answers the request, so that it is no bad one.
    """
    known = find_plait_error(error)
    if isinstance(known, Overloaded | DeadlineExceeded):
        return False
    return known is None or can_be_answered or known.http_status >= 500
