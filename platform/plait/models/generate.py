"""The port `Generate`: a conversation in, a model's reply out, perhaps as JSON.

Whoever has questions written or answers judged asks by it, and knows neither where the model runs nor what it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plait.models.message import Message


@dataclass(frozen=True)
class Generated:
    """A reply, and the tokens that were read and written for it (None where a server does not count them).

    `is_cut`: it ended because it had as many tokens as it may. `is_kept`: it was kept from an earlier time, and cost
    nothing now.
    """

    text: str
    is_cut: bool
    prompt_tokens: int | None
    generated_tokens: int | None
    is_kept: bool = False


class Generate(Protocol):
    """One model that replies. It may be asked from many tasks of one event loop: it bounds how many it serves at once.

    Implementations: `ChatEndpoint` (a model of a Plait server or of any OpenAI-compatible endpoint) and
    `EngineGenerate` (an engine in this process).
    """

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        """The likeliest reply to a conversation, of no more than `max_tokens`; it follows the schema if there is one.

        Raises:
            InvalidInput: when the conversation and the reply do not fit into the context, the conversation cannot be
                written, or the schema cannot be followed.
            ModelNotFound: when there is no such model or adapter.
            Overloaded: when others ask too much of the model, also after retries.
            Unavailable: when it does not answer.
        """
        ...
