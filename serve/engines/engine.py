"""What an engine is: prompts in, text out as it comes, adapters by key.

Implementations decide how requests share the hardware. An engine knows no model names, no chat and no retrieval.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt and how to go on from it.

    `temperature` 0 takes the likeliest token; `top_p` in (0, 1] keeps the likeliest tokens that make up that share.
    `stop`: strings at which the text ends, themselves left out. `seed` makes sampling repeatable, whatever shares the
    batch. `adapter` is the key of a loaded adapter; None is the base model.
    """

    prompt: str
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    adapter: str | None = None


@dataclass(frozen=True)
class GenerationDelta:
    """The next piece of an answer. The last one has a `finish_reason`; counts are those of the whole answer so far."""

    text: str
    prompt_tokens: int
    generated_tokens: int
    finish_reason: FinishReason | None = None


class Engine(Protocol):
    """Generates text for many requests at once."""

    def generate(self, request: GenerationRequest) -> AsyncIterator[GenerationDelta]:
        """Generate; closing the iterator cancels the request.

        Raises:
            InvalidInput: when the prompt is longer than the context.
            Overloaded: when the queue is full.
            ModelNotFound: when the adapter is not loaded.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, no special tokens added."""
        ...

    async def load_adapter(self, key: str, folder: Path) -> None:
        """Load an adapter under a key; does nothing when it is loaded.

        Raises:
            InvalidInput: when the folder holds no adapter for this base model.
        """
        ...

    def has_adapter(self, key: str) -> bool:
        """Whether an adapter is loaded under this key."""
        ...
