"""A model behind somebody else's endpoint, as an arm: what it says, how long it took, and the tokens that it counts.

In: a conversation. Out: an answer as a server of ours would give it, without passages.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from plait.chat_client import ChatAnswer, Sent
from plait.evaluation.judges.opening import key_of
from plait.jobs.evaluate.asked_arm import AskedArm, Conversation
from plait.models.chat_endpoint import ChatEndpoint
from plait.recipes import EndpointArm


@asynccontextmanager
async def endpoint_arm(name: str, config: EndpointArm, at_once: int) -> AsyncIterator[AskedArm]:
    """The arm, whose connections are closed at the end of the block. It answers at temperature 0.

    Raises:
        InvalidInput: when the variable of its key is not set.
    """
    async with ChatEndpoint(config.model, config.base_url, key_of(config), at_once) as endpoint:

        async def ask(conversation: Conversation, how: Sent) -> ChatAnswer:
            started = time.perf_counter()
            made = await endpoint.generate(conversation, how.max_tokens)
            return ChatAnswer(
                text=made.text,
                model=config.model,
                citations=(),
                is_grounded=False,
                timings_ms={"total": 1000 * (time.perf_counter() - started)},
                prompt_tokens=made.prompt_tokens,
                completion_tokens=made.generated_tokens,
                finish_reason="length" if made.is_cut else "stop",
            )

        yield AskedArm(name, f"{config.base_url} {config.model}", ask)
