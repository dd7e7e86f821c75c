"""A canary that fails costs no client an answer, and is counted; what is the request's fault is counted for nobody."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from plait.errors import DeadlineExceeded, InvalidInput, NotFinite, Overloaded
from plait.serve.adapters.names import Adapter, Drawn
from plait.serve.deployments.canary import answered
from plait.serve.messages.calls import Event
from plait.serve.messages.rollouts import Outcome, RolloutPart, Shadow

CHAMPION, CANDIDATE = Adapter("support:1", "support", "support:1"), Adapter("support:2", "support", "support:2")
ON_CHAMPION = RolloutPart("support", "r1", 0, is_candidate=False)
ON_CANDIDATE = RolloutPart("support", "r1", 0, is_candidate=True)
CANARY = Drawn(CANDIDATE, ON_CANDIDATE, fallback=CHAMPION)


class Reports:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def counted(self) -> list[tuple[bool, bool]]:
        """Whether of the candidate, and whether an error."""
        return [(outcome.part.is_candidate, outcome.is_error) for outcome in self.outcomes]


async def asked(
    drawn: Drawn, part: RolloutPart, errors: dict[str, Exception], tokens: int = 0
) -> tuple[list[Event], Exception | None, Reports]:
    """The answer by versions, of which some fail after so many tokens."""
    reports: Any = Reports()

    async def answering(adapter: Adapter) -> AsyncGenerator[Event]:
        for number in range(tokens if adapter.key in errors else 2):
            yield Event("a", 1, number + 1, answered_by=adapter.key)
        if adapter.key in errors:
            raise errors[adapter.key]
        yield Event("", 1, 2, finish_reason="stop", answered_by=adapter.key)

    events: list[Event] = []
    try:
        async for event in answered(drawn, part, answering, reports):
            events.append(event)
    except Exception as error:
        return events, error, reports
    return events, None, reports


@pytest.mark.parametrize("error", [NotFinite("NaN"), RuntimeError("boom"), InvalidInput("its template is broken")])
async def test_a_canary_that_fails_before_its_first_token_is_answered_by_the_champion_and_counted_once(
    error: Exception,
) -> None:
    events, raised, reports = await asked(CANARY, ON_CANDIDATE, {CANDIDATE.key: error})
    assert raised is None
    assert {event.answered_by for event in events} == {CHAMPION.key}
    assert {event.part for event in events} == {None}  # its quality says nothing about either
    assert reports.counted == [(True, True)]


@pytest.mark.parametrize("error", [Overloaded("full"), DeadlineExceeded("late")])
async def test_a_full_queue_and_a_deadline_say_nothing_about_a_version(error: Exception) -> None:
    _, raised, reports = await asked(CANARY, ON_CANDIDATE, {CANDIDATE.key: error})
    assert (raised, reports.counted) == (None, [])


async def test_a_request_that_neither_version_can_answer_is_counted_for_neither() -> None:
    bad = InvalidInput("The prompt is too long.")
    _, raised, reports = await asked(CANARY, ON_CANDIDATE, {CANDIDATE.key: bad, CHAMPION.key: bad})
    assert (raised, reports.counted) == (bad, [])
    _, raised, reports = await asked(Drawn(CHAMPION, ON_CHAMPION), ON_CHAMPION, {CHAMPION.key: bad})
    assert (raised, reports.counted) == (bad, [])


async def test_both_versions_failures_are_counted_by_the_same_rule() -> None:
    for tokens in (0, 1):
        *_, reports = await asked(Drawn(CHAMPION, ON_CHAMPION), ON_CHAMPION, {CHAMPION.key: NotFinite("")}, tokens)
        assert reports.counted == [(False, True)]
        *_, reports = await asked(CANARY, ON_CANDIDATE, {CANDIDATE.key: NotFinite("")}, tokens)
        assert reports.counted == [(True, True)]


async def test_an_answer_that_broke_off_is_not_begun_again() -> None:
    events, raised, _ = await asked(CANARY, ON_CANDIDATE, {CANDIDATE.key: NotFinite("NaN")}, tokens=1)
    assert isinstance(raised, NotFinite)
    assert [event.answered_by for event in events] == [CANDIDATE.key]


async def test_an_answer_is_timed_and_its_last_event_says_what_shall_be_copied() -> None:
    shadow = Shadow(CANDIDATE.key, ON_CANDIDATE)
    events, _, reports = await asked(Drawn(CHAMPION, ON_CHAMPION, shadow=shadow), ON_CHAMPION, {})
    assert [event.shadow for event in events] == [None, None, shadow]
    assert [event.part for event in events] == [None, None, ON_CHAMPION]
    (outcome,) = reports.outcomes
    assert outcome.seconds is not None
    assert outcome.seconds > 0


async def test_a_copy_that_the_candidate_cannot_answer_is_counted_whatever_the_error_is() -> None:
    """The champion has answered it already."""
    *_, reports = await asked(Drawn(CANDIDATE), ON_CANDIDATE, {CANDIDATE.key: InvalidInput("cannot be loaded")})
    assert reports.counted == [(True, True)]
