"""What is known of indexes beside the questions: asked for now and then, and never waited for."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from plait.errors import CollectionNotFound, Unavailable
from plait.serve.deployments import index_states
from plait.serve.deployments.index_states import IndexStates


class Index:
    """Says when it was in step, or what a test wants it to raise."""

    def __init__(self, name: str, generation: int | None, said: Any) -> None:
        self.name, self.generation_if_any, self.said = name, generation, said
        self.asked = 0

    def in_step_at(self) -> float | None:
        self.asked += 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said  # type: ignore[no-any-return]


async def settled(states: IndexStates) -> None:
    await asyncio.gather(*states._asking)


async def test_the_store_is_asked_at_most_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(index_states, "time", SimpleNamespace(monotonic=lambda: clock.now))
    states, docs, bare = IndexStates(), Index("docs", 3, 100.0), Index("bare", None, None)
    indexes: Any = [docs, bare]
    assert states.generations(indexes) == {"docs": 3}
    assert states.in_step_at(indexes) == {}
    await settled(states)
    docs.said = 200.0
    assert states.in_step_at(indexes) == states.in_step_at(indexes) == {"docs": 100.0}
    assert (docs.asked, bare.asked) == (1, 1)
    clock.now = 31.0
    states.in_step_at(indexes)
    await settled(states)
    assert (states.in_step_at(indexes), docs.asked) == ({"docs": 200.0}, 2)


async def test_a_store_that_does_not_answer_leaves_what_is_known_and_a_new_generation_is_asked_at_once() -> None:
    states, docs = IndexStates(), Index("docs", 3, 100.0)
    indexes: Any = [docs]
    states.in_step_at(indexes)
    await settled(states)
    for error, asked in ((Unavailable("down"), 2), (CollectionNotFound("rebuilt"), 3)):
        states._asked_at.clear()
        docs.said = error
        assert states.in_step_at(indexes) == {"docs": 100.0}
        await settled(states)
        assert docs.asked == asked
    states.in_step_at([Index("docs", 4, 300.0)])  # type: ignore[list-item]
    await settled(states)
    assert states.in_step_at(indexes) == {"docs": 300.0}
