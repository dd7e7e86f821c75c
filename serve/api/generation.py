"""Routes that generate text: /v1/chat/completions and /v1/completions, whole or as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from plait.serve.api.answer import server_sent_events
from plait.serve.api.asking import Asked, ask_chat, ask_completions
from plait.serve.api.client_tasks import is_client_task, without_passages
from plait.serve.api.completion_requests import CompletionRequest
from plait.serve.api.generation_answers import ChatCompletion, Completion
from plait.serve.api.generation_requests import ChatCompletionRequest, GenerationBody
from plait.serve.api.openapi import errors, streamed
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.services import Services, services
from plait.serve.messages.calls import Call

routes = APIRouter(tags=["generation"])


@routes.post(
    "/v1/chat/completions",
    response_model=None,
    responses=streamed(ChatCompletion, "ChatCompletionChunk") | errors(404, 429, 503, 504),
)
async def chat_completions(
    body: ChatCompletionRequest,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> Response:
    """Answer a conversation; `rag/…` models answer from retrieved passages and cite them."""

    def without_passages_for_tasks(call: Call) -> Call:
        is_refused = call.model.is_auto and services.arguments.routing is None
        is_task = is_client_task(call, context.client_task)
        return without_passages(call) if is_task and not is_refused else call

    return await _respond(body, ask_chat(body, services, context, without_passages_for_tasks))


@routes.post(
    "/v1/completions",
    response_model=None,
    responses=streamed(Completion, "CompletionChunk") | errors(404, 429, 503, 504),
)
async def completions(
    body: CompletionRequest,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> Response:
    """Continue a text, or each of several."""
    return await _respond(body, ask_completions(body, services, context))


async def _respond(body: GenerationBody, asked: Asked) -> Response:
    if not body.stream:
        answer = await asked.answered()
        return Response(answer.whole().model_dump_json(exclude_unset=True), media_type="application/json")
    sent = server_sent_events(asked.answer, await anext(asked.events), asked.events, body.wants_usage)
    return StreamingResponse(sent, media_type="text/event-stream")
