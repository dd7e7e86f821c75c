"""Answers and ratings that tests keep."""

from dataclasses import replace
from typing import Any

from plait.evaluation.live.answer import LiveAnswer, LivePassage, RatedAnswer, Rating
from plait.models.message import Message

QUESTION, REPLY = "Which version of ray is installed?", "The installed version of ray is 2.60.0."
PASSAGES = (
    LivePassage("The installed version of ray is 2.60.0.", "ray.md", "c1"),
    LivePassage("Cats sleep most of the day.", "cats.md", "c2"),
)


def live(request_id: str = "r-1", owner: str = "anybody", **changed: Any) -> LiveAnswer:
    answer = LiveAnswer(
        request_id=request_id,
        owner=owner,
        model="rag/support",
        adapter="support",
        answered_by="support:3",
        collections=("docs",),
        conversation=(Message("user", QUESTION),),
        reply=REPLY,
        passages=PASSAGES,
        is_grounded=True,
        started_ms=1_800_000_000_000,
        took_ms=120,
    )
    return replace(answer, **changed)


def rated(value: float, correction: str = "", **changed: Any) -> RatedAnswer:
    answer = RatedAnswer("base", (Message("user", QUESTION),), REPLY, PASSAGES, Rating(value, correction))
    return replace(answer, **changed)
