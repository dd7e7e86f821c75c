"""Routes of Anthropic's API: /v1/messages, whole or as typed events, and /v1/messages/count_tokens."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from plait.serve.api.anthropic.answers import AnsweredMessage, TokenCount
from plait.serve.api.anthropic.requests import CountTokensRequest, MessagesRequest
from plait.serve.api.anthropic.stream import MessageAnswer, server_sent_events
from plait.serve.api.asking import ask_chat
from plait.serve.api.openapi import anthropic_errors, streamed
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.services import Services, services

routes = APIRouter(tags=["anthropic"])


@routes.post(
    "/v1/messages",
    response_model=None,
    responses=streamed(AnsweredMessage, "MessageStreamEvent", "`event: …` and `data: …`, the last a message_stop")
    | anthropic_errors(401, 403, 404, 429, 503, 504),
)
async def messages(
    body: MessagesRequest,
    services: Annotated[Services, Depends(services)],
    context: Annotated[RequestContext, Depends(request_context)],
) -> Response:
    """Answer a conversation in Anthropic's shape; `rag/…` models answer from retrieved passages and cite them."""
    # Anthropic's clients send a max_tokens that is more than any context; it is a bound, and not a wish.
    asked = ask_chat(body.chat, services, context, lambda call: replace(call, fits_answer=True))
    answer = MessageAnswer(asked.answer)
    if not body.stream:
        await asked.answered()
        return Response(answer.whole().model_dump_json(), media_type="application/json")
    _, first = await anext(asked.events)
    sent = server_sent_events(answer, first, asked.events, context.id)
    return StreamingResponse(sent, media_type="text/event-stream")


@routes.post("/v1/messages/count_tokens", responses=anthropic_errors(401, 403, 404, 503))
async def count_tokens(body: CountTokensRequest, services: Annotated[Services, Depends(services)]) -> TokenCount:
    """Count the tokens of a conversation, its system prompt and its tools."""
    (call,) = body.chat.calls(default_max_tokens=1)
    tokens = await services.tokenize(call, add_special_tokens=True)
    return TokenCount(input_tokens=len(tokens.ids))
