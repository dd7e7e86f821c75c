"""`Generate` by the model that is served here, asked past the API: what a judge asks is no request of a user, is not
judged itself, and needs neither a key nor the server's address.

In: conversations. Out: replies. One is under way at a time: users come first.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from plait.engines.engine import Sampling
from plait.errors import find_plait_error
from plait.model_ids import ModelId
from plait.models.generate import Generated
from plait.models.message import Message
from plait.serve.messages.calls import Call, Event

_REQUEST_ID = "judging"
"""Of its lines in the log. Its prompts share their computation with no user's, for nobody may learn of them by that."""


class LLMGenerate:
    """A model of the LLM deployment, by its id.

    Raises:
        ModelNotFound: when the id can name none.
    """

    def __init__(self, llm: DeploymentHandle, model: str) -> None:
        self._llm, self._model = llm, ModelId.requested(model)
        self._place = asyncio.Semaphore(1)

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        """See `Generate`."""
        sampling = Sampling(max_tokens, json_schema=None if json_schema is None else json.dumps(json_schema))
        call = Call(self._model, sampling, messages=tuple(messages), request_id=_REQUEST_ID, cache_salt=_REQUEST_ID)
        text, last = "", Event("", 0, 0)
        async with self._place:
            response = self._llm.options(stream=True).generate.remote(call)
            try:
                async for event in response:
                    text, last = text + event.text, event
            except Exception as error:
                raise find_plait_error(error) or error from None  # out of what Ray wraps it in
            finally:
                if last.finish_reason is None:
                    response.cancel()
        return Generated(text, last.finish_reason == "length", last.prompt_tokens, last.generated_tokens)
