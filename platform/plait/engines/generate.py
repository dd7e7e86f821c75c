"""`Generate` by an engine in this process, as in a worker of a job: no server, no HTTP.

In: conversations. Out: replies of the base model, or of one adapter that the engine has loaded.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from plait.engines.engine import Engine, GenerationRequest, Sampling
from plait.models.chat import ChatFormat, text_length
from plait.models.generate import Generated
from plait.models.message import Message


class EngineGenerate:
    """A model of an engine. Whoever made the engine closes it.

    Args:
        engine: runs the base model.
        chat_format: what the model was trained to read.
        adapter: key of a loaded adapter; None is the base model.
        concurrency: requests that the engine has at once; others wait here, and not in the engine's queue.
    """

    def __init__(
        self, engine: Engine, chat_format: ChatFormat, adapter: str | None = None, concurrency: int = 8
    ) -> None:
        self._engine, self._format, self._adapter = engine, chat_format, adapter
        self._places = asyncio.Semaphore(concurrency)

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        """See `Generate`."""
        prompts = self._engine.prompts
        prompts.check_messages(len(messages))
        characters = text_length(messages)
        prompts.check_length(characters)
        sampling = Sampling(
            max_tokens,
            stop=self._format.stop,
            json_schema=None if json_schema is None else json.dumps(json_schema),
        )
        async with self._places:
            prompt = await prompts.beside_the_loop(characters, self._format.render, messages)
            request = GenerationRequest(prompt, sampling, self._adapter, stream_interval=max_tokens)
            async with aclosing(self._engine.generate(request)) as deltas:
                said = [delta async for delta in deltas]
        last = said[-1]
        return Generated(
            text="".join(delta.text for delta in said),
            is_cut=last.finish_reason == "length",
            prompt_tokens=last.prompt_tokens,
            generated_tokens=last.generated_tokens,
        )
