"""The HTTP API: OpenAI's routes, health and readiness.

In: OpenAI-shaped JSON. Out: OpenAI-shaped JSON or server-sent events. It knows no model: the router answers.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from plait import __version__
from plait.errors import ModelNotFound, Unavailable, did_you_mean
from plait.model_ids import ModelId
from plait.serve.accounting import recorded
from plait.serve.adapter_admin import routes as adapter_routes
from plait.serve.calls import Call, Event
from plait.serve.engines.engine import Sampling
from plait.serve.openai_errors import as_plait_error, error_response, install
from plait.serve.protocol import ChatCompletionRequest, CompletionRequest, ModelCard
from plait.serve.responses import Answer, server_sent_events

api = FastAPI(title="Plait", version=__version__)
install(api)
api.include_router(adapter_routes)
_READY_TIMEOUT_S = 5.0


# Serve takes a copy of the application when the class below is decorated: what the routes use must stand above it.
async def _again(first: Event, rest: AsyncIterator[Event]) -> AsyncIterator[Event]:
    yield first
    async for event in rest:
        yield event


async def _result(response: Any) -> Any:
    return await response


# This freezes the class as it is here: what its methods name must be defined above it.
@serve.ingress(api)
class Ingress:
    """One replica of the API."""

    def __init__(self, router: DeploymentHandle, default_max_tokens: int) -> None:
        self._router = router
        self._default_max_tokens = default_max_tokens

    @api.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        """Whether this process is alive."""
        return {"status": "ok"}

    @api.get("/readyz")
    async def readyz(self) -> JSONResponse:
        """Whether a request would be answered: 200, or 503 with what is missing."""
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                await self._router.is_ready.remote()
        except TimeoutError:
            return error_response(Unavailable("The model is not loaded yet.", "Try again in a moment."))
        except Exception as error:
            return error_response(as_plait_error(error))
        return JSONResponse({"status": "ready"})

    @api.get("/v1/models")
    async def models(self) -> dict[str, Any]:
        """Every model id: the base model, adapters, and each of them with retrieval."""
        cards: list[ModelCard] = await self._router.models.remote()
        return {"object": "list", "data": [card.model_dump() for card in cards]}

    @api.get("/v1/models/{model_id:path}")
    async def model(self, model_id: str) -> dict[str, Any]:
        """One model id."""
        cards: list[ModelCard] = await self._router.models.remote()
        for card in cards:
            if card.id == model_id:
                return card.model_dump()
        raise ModelNotFound(f"There is no model '{model_id}'.", did_you_mean(model_id, [card.id for card in cards]))

    @api.post("/v1/chat/completions", response_model=None)
    async def chat_completions(self, body: ChatCompletionRequest) -> JSONResponse | StreamingResponse:
        """Answer a conversation; `rag/…` models answer from retrieved passages and cite them."""
        call = Call(
            model=ModelId.parse(body.model),
            sampling=self._sampling(body, body.max_completion_tokens or body.max_tokens),
            messages=tuple(message.to_message() for message in body.messages),
            top_k=body.retrieval.top_k,
        )
        return await self._respond(Answer(call, is_chat=True), body.stream, body.wants_usage)

    @api.post("/v1/completions", response_model=None)
    async def completions(self, body: CompletionRequest) -> JSONResponse | StreamingResponse:
        """Continue a text."""
        call = Call(ModelId.parse(body.model), self._sampling(body, body.max_tokens), prompt=body.prompt)
        return await self._respond(Answer(call, is_chat=False), body.stream, body.wants_usage)

    def _sampling(self, body: ChatCompletionRequest | CompletionRequest, max_tokens: int | None) -> Sampling:
        return Sampling(
            max_tokens=max_tokens or self._default_max_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            stop=body.stop_strings,
            seed=body.seed,
        )

    async def _respond(self, answer: Answer, stream: bool, wants_usage: bool) -> JSONResponse | StreamingResponse:
        events = recorded(answer.call, self._events(answer.call))
        if not stream:
            async for event in events:
                answer.add(event)
            return JSONResponse(answer.whole())
        # An error before the first token is still an HTTP status; after it, only an event can tell.
        first = await anext(events)
        return StreamingResponse(server_sent_events(answer, first, events, wants_usage), media_type="text/event-stream")

    async def _events(self, call: Call) -> AsyncIterator[Event]:
        async for event in self._router.options(stream=True).answer.remote(call):
            yield event
