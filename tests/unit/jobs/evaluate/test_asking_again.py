"""The judged model is asked again in the words of serving."""

from collections.abc import Sequence
from typing import Any

from plait.evaluation.sample import SamplePassage
from plait.index.passage import Passage
from plait.jobs.evaluate.asking_again import GroundedModel
from plait.models.generate import Generated
from plait.models.message import Message
from plait.retrieval.context import with_passages


class Model:
    """Repeats the end of what it is asked, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[Message], int]] = []

    async def generate(self, messages: Sequence[Message], max_tokens: int, json_schema: Any = None) -> Generated:
        self.asked.append((messages, max_tokens))
        return Generated(messages[-1].content, False, 1, 1)


async def test_passages_stand_in_the_prompt_as_serving_writes_them() -> None:
    model = Model()
    passages = [SamplePassage(f"Text {number}. " * 500, f"{number}.md", start=0, end=9) for number in range(3)]
    assert await GroundedModel(model, 48).reply("Why?", passages) == "Why?"
    served = [Passage("", each.source, "", "", each.text, 0, 9, 0.5) for each in passages]
    expected = with_passages([Message("user", "Why?")], served, 1_000_000, len)
    assert model.asked == [(expected.messages, 48)]
    assert len(expected.passages) == 3


async def test_without_passages_the_question_is_asked_alone() -> None:
    model = Model()
    await GroundedModel(model, 48).reply("Why?", [])
    assert model.asked == [((Message("user", "Why?"),), 48)]
