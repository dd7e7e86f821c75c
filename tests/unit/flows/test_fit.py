"""Questions for fitting that a served model writes, many at once."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from plait.errors import Unavailable
from plait.flows.fit import _written_questions
from plait.models.chat_endpoint import ChatEndpoint
from plait.models.generate import Generated
from plait.models.message import Message
from plait.retrieval.fusion import KnownQuestion

TEXTS = {f"{number}.md": f"text {number}" for number in range(6)}


def test_questions_are_in_the_order_of_the_texts_whichever_is_written_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def generate(self: Any, messages: Sequence[Message], *_: Any) -> Generated:
        number = int(messages[0].content.split()[-1])
        await asyncio.sleep((6 - number) / 100)
        return Generated("No." if number == 3 else f"what is {number}?", False, None, None)

    monkeypatch.setattr(ChatEndpoint, "generate", generate)
    seen: list[int] = []

    def watched(writing: Any, total: int) -> Iterator[Any]:
        for each in writing:
            yield each
            seen.append(total)

    found = asyncio.run(_written_questions(TEXTS, "base", None, watched))
    assert found == [KnownQuestion(f"what is {number}?", f"{number}.md") for number in range(6) if number != 3]
    assert seen == [6] * 6


def test_the_first_failure_ends_it_and_the_others_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up: list[str] = []

    async def generate(self: Any, messages: Sequence[Message], *_: Any) -> Generated:
        text = messages[0].content
        if text.endswith("2"):
            raise Unavailable("No server.")
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            given_up.append(text)
            raise
        raise AssertionError

    monkeypatch.setattr(ChatEndpoint, "generate", generate)
    with pytest.raises(Unavailable, match="No server"):
        asyncio.run(_written_questions(TEXTS, "base", None, lambda writing, _: writing))
    assert len(given_up) == 5
