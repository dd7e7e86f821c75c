"""How much of one request a model that all requests share takes at a time, and how long a text of it may be.

What a model is asked together, it answers together: a request of 2,048 texts would hold up everybody's questions for as
long as all of them take. In parts, others come in between. Knows no model.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from plait.errors import InvalidInput

_T = TypeVar("_T")
_R = TypeVar("_R")
_CHARACTERS_A_TOKEN = 100
"""More than any text has: English has 4 to 5. Beyond, a text is longer than a model reads, and need not be read."""


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
    return text[: max_tokens * _CHARACTERS_A_TOKEN]


def check_readable(texts: Sequence[str], max_tokens: int) -> None:
    """Refuse what is longer than a model reads by its length alone.

    Raises:
        InvalidInput: with the numbers.
    """
    for i, text in enumerate(texts):
        if len(text) > max_tokens * _CHARACTERS_A_TOKEN:
            raise InvalidInput(
                f"Input {i} has {len(text)} characters, and the model reads {max_tokens} tokens.",
                "Shorten it, or split it into chunks.",
            )
