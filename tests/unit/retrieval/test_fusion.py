"""Questions that a model writes about texts."""

from collections.abc import Sequence
from typing import Any

from plait.models.generate import Generated
from plait.models.message import Message
from plait.retrieval.fusion import KnownQuestion, write_question


class Says:
    """A model that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked = ""

    async def generate(self, messages: Sequence[Message], max_tokens: int, json_schema: Any = None) -> Generated:
        self.asked = messages[-1].content
        return Generated(self.text, is_cut=False, prompt_tokens=None, generated_tokens=None)


async def test_what_a_model_writes_is_taken_where_it_is_a_question() -> None:
    model = Says("Sure:\n What is a fox? \nIt is.")
    assert await write_question("a.md", "A fox.", model) == KnownQuestion("What is a fox?", "a.md")
    assert model.asked.endswith("A fox.")
    assert await write_question("b.md", "B.", Says("No question.")) is None
