"""`Generate` over HTTP: a model of a running Plait server, or of any other OpenAI-compatible endpoint.

In: conversations. Out: replies. The OpenAI client repeats what fails for a moment; errors come as Plait's sentences.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field

from plait.chat_client import NO_KEY, NO_SERVER, TASK_HEADER, error_of_status, server_url, unavailable
from plait.errors import Unavailable
from plait.models.generate import Generated
from plait.models.message import Message
from plait.settings import settings

_TIMEOUT_S = 300.0
_CONCURRENCY = 8
"""Requests under way: as many as a batch of a Plait server has, unless it is told otherwise."""


_Count = Annotated[int, Field(ge=0, lt=2**31)]


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None


class _Answer(BaseModel):
    """What is read of an answer; the client would take anything for one."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class ChatEndpoint:
    """A model behind an endpoint, for one event loop. Leaving `async with` closes its connections.

    Args:
        model: its name there.
        url: of the API, as `https://api.openai.com/v1`.
        api_key: empty where none is needed.
        concurrency: requests under way at once; others wait here.
        retries: of a request, from 0.5 s doubling to 8 s, or after as long as the server says.
        task: what a server of ours is told that the requests are for (`TASK_HEADER`); empty: a question of a user.
    """

    def __init__(
        self,
        model: str,
        url: str,
        api_key: str = "",
        concurrency: int = _CONCURRENCY,
        retries: int = 8,
        task: str = "",
    ) -> None:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._model, self._url = model, url
        self._no_server, self._no_key = "Check its address.", ""
        # The client insists on a key, which an endpoint of one's own need not.
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=api_key or "none",
            max_retries=retries,
            timeout=_TIMEOUT_S,
            default_headers={TASK_HEADER: task} if task else None,
            # One that openai makes closes itself when it is forgotten and collected, after its sockets: then new
            # connections of the event loop, which have got their numbers, are read no more.
            http_client=DefaultAsyncHttpxClient(),
        )
        self._places = asyncio.Semaphore(concurrency)

    @classmethod
    def served(cls, model: str, base_url: str | None = None, task: str = "") -> Self:
        """A model of a Plait server (None: this machine's), by its id there, with the key of the settings.

        Few retries: a server that is not there must be said at once.
        """
        key = settings().api_key
        url = base_url or server_url()
        served = cls(model, f"{url}/v1", key.get_secret_value() if key else "", retries=2, task=task)
        served._no_server, served._no_key = NO_SERVER, NO_KEY
        return served

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        """See `Generate`."""
        import openai

        body: dict[str, Any] = {} if json_schema is None else {"response_format": _response_format(json_schema)}
        async with self._places:
            try:
                response = await self._client.chat.completions.with_raw_response.create(
                    model=self._model,
                    messages=[_as_json(message) for message in messages],  # type: ignore[misc]
                    max_tokens=max_tokens,
                    temperature=0,
                    **body,
                )
            except openai.APIStatusError as error:
                said = error.body.get("message") if isinstance(error.body, dict) else None
                raise error_of_status(error.status_code, said, self._no_key) from error
            except openai.APIConnectionError as error:
                raise unavailable(self._url, error, self._no_server) from error
        try:
            # A reply that is cut within an emoji has half a character, which no file and no page can hold.
            said = json.dumps(json.loads(response.content), ensure_ascii=False).encode(errors="replace")
            answer = _Answer.model_validate_json(said)
        except (ValueError, RecursionError) as error:
            raise Unavailable(
                f"{self._url} does not answer as OpenAI's API does.", "Is it the address of an API?"
            ) from error
        choice = answer.choices[0]
        return Generated(
            text=choice.message.content or "",
            is_cut=choice.finish_reason == "length",
            prompt_tokens=answer.usage.prompt_tokens if answer.usage else None,
            generated_tokens=answer.usage.completion_tokens if answer.usage else None,
        )


def _as_json(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        fields["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
