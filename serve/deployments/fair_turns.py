"""How much of one request a model that all requests share takes at a time, and how long a text of it may be.

What a model is asked together, it answers together: a request of 2,048 texts would hold up everybody's questions for as
long as all of them take. In parts, others come in between. Knows no model.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from plait.models.long_texts import CHARACTERS_A_TOKEN

_T = TypeVar("_T")
_R = TypeVar("_R")


def parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """The items in order, so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def in_turns(
    items: Sequence[_T], size: int, answer: Callable[[Sequence[_T]], Awaitable[Sequence[_R]]]
) -> list[_R]:
    """What `answer` says to each item, asked for so many at a time."""
    return [answered for part in parts(items, size) for answered in await answer(part)]


def cut(text: str, max_tokens: int) -> str:
    """As much of a text as a model of so many tokens could read."""
    return text[: max_tokens * CHARACTERS_A_TOKEN]
