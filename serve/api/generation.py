"""Routes that generate text: /v1/chat/completions and /v1/completions, whole or as server-sent events."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from plait.errors import InvalidField
from plait.serve.api.accounting import recorded
from plait.serve.api.citations import CitationLinks
from plait.serve.api.generation_answers import ChatCompletion, Completion
from plait.serve.api.generation_requests import ChatCompletionRequest, CompletionRequest, GenerationBody
from plait.serve.api.merged_events import Indexed, merged, until_deadline
from plait.serve.api.openapi import errors, streamed
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.responses import Answer, server_sent_events
from plait.serve.api.services import Services, services
from plait.serve.api.tool_calls import ToolCallReader
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
    calls = _calls(body, services, context)
    readers = None
    if body.may_call_tools:
        names = [tool.name for tool in calls[0].tools]
        readers = [
            ToolCallReader(names, body.must_call_a_tool, is_parallel=body.parallel_tool_calls) for _ in range(body.n)
        ]
    return await _respond(body, calls, services, context, _chat_answer(body, calls, services, context, readers))


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
    calls = _calls(body, services, context)
    return await _respond(body, calls, services, context, Answer(calls, is_chat=False, n=body.n))


def _calls(
    body: ChatCompletionRequest | CompletionRequest, services: Services, context: RequestContext
) -> Sequence[Call]:
    deadline_s = context.timeout_s or services.default_timeout_s
    calls = body.calls(services.default_max_tokens)
    choices = len(calls) * body.n
    if choices > services.max_choices:
        raise InvalidField(
            f"The request asks for {choices} choices, and this server holds {services.max_choices} at once.",
            "Ask for fewer: lower n, or send fewer prompts.",
            "n" if body.n > 1 else "prompt",
        )
    return [
        replace(
            call,
            is_streamed=body.stream,
            request_id=context.id,
            traceparent=context.step.traceparent,
            deadline_s=deadline_s,
        )
        for call in calls
    ]


def _chat_answer(
    body: ChatCompletionRequest,
    calls: Sequence[Call],
    services: Services,
    context: RequestContext,
    readers: Sequence[ToolCallReader] | None = None,
) -> Answer:
    options = body.retrieval
    tenant = options.tenant if options is not None and "tenant" in options.model_fields_set else None
    style = (options.citations if options is not None else None) or services.citations.style
    return Answer(
        calls,
        is_chat=True,
        n=body.n,
        readers=readers,
        links=CitationLinks((services.citations.public_url or context.base_url).rstrip("/"), tenant),
        is_marked=style == "inline" and calls[0].is_prose,
    )


async def answered_whole(body: ChatCompletionRequest, services: Services, context: RequestContext) -> ChatCompletion:
    """The answer to a request that neither streams nor has tools, recorded as any other."""
    calls = _calls(body, services, context)
    answer = _chat_answer(body, calls, services, context)
    async for index, event in _events(body, calls, services, context):
        answer.add(index, event)
    return cast("ChatCompletion", answer.whole())


def _events(
    body: GenerationBody, calls: Sequence[Call], services: Services, context: RequestContext
) -> AsyncGenerator[Indexed]:
    choices = [events for call in calls for events in services.answers([_of_choice(call, i) for i in range(body.n)])]
    return recorded(calls, until_deadline(merged(choices), calls[0].deadline_s), context.step.span)


async def _respond(
    body: GenerationBody, calls: Sequence[Call], services: Services, context: RequestContext, answer: Answer
) -> Response:
    events = _events(body, calls, services, context)
    if not body.stream:
        async for index, event in events:
            answer.add(index, event)
        return Response(answer.whole().model_dump_json(exclude_unset=True), media_type="application/json")
    # An error before the first token is still an HTTP status; after it, only an event can tell.
    first = await anext(events)
    return StreamingResponse(
        server_sent_events(answer, first, events, body.wants_usage), media_type="text/event-stream"
    )


def _of_choice(call: Call, i: int) -> Call:
    """The call of the choice i: with one seed for all, all would say the same. After the highest comes the lowest."""
    seed = call.sampling.seed
    if seed is None or i == 0:
        return call
    return replace(call, sampling=replace(call.sampling, seed=(seed + i + 2**63) % 2**64 - 2**63))
