"""/v1/responses: answers in OpenAI's newer shape, whole or as typed events, and the conversations that it keeps.

In: OpenAI's request. It becomes a request of chat and is asked as such. Out: a response, which its key alone can show,
continue, delete and cancel, unless `store` is false.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Depends, Query
from fastapi import Response as HttpResponse
from fastapi.responses import StreamingResponse

from plait.errors import InvalidField, InvalidInput
from plait.serve.api.asking import ask_chat
from plait.serve.api.errors import as_plait_error
from plait.serve.api.listing import PageWanted, page, page_wanted
from plait.serve.api.merged_events import Indexed
from plait.serve.api.openapi import errors, streamed
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.responses.background import Background
from plait.serve.api.responses.cancellation import Cancellation, Cancelled
from plait.serve.api.responses.conversations import Conversations, conversations
from plait.serve.api.responses.events import TypedEvent
from plait.serve.api.responses.growing import GrowingResponse
from plait.serve.api.responses.input_items import said
from plait.serve.api.responses.objects import Response, ResponseDeleted, ResponseItemList, Status
from plait.serve.api.responses.requests import ResponseRequest
from plait.serve.api.responses.storage import new_response_id
from plait.serve.api.services import Services, services
from plait.serve.messages.calls import Call

routes = APIRouter(prefix="/v1/responses", tags=["responses"])
_Conversations = Annotated[Conversations, Depends(conversations)]
T = TypeVar("T")
_LINES = "`event: …` and `data: …`, each of a type"


@cache
def _background(at_once: int, most_of_one: int) -> Background:
    return Background(at_once, most_of_one)


@routes.post(
    "",
    response_model=None,
    responses=streamed(Response, "ResponseStreamEvent", _LINES) | errors(404, 429, 503, 504, 507),
)
async def create_response(
    body: ResponseRequest,
    services: Annotated[Services, Depends(services)],
    conversations: _Conversations,
    context: Annotated[RequestContext, Depends(request_context)],
) -> HttpResponse:
    """Answer a conversation, or continue one that is kept; the tool `file_search` answers from a vector store."""
    response_id = new_response_id()
    if body.background:
        conversations.check_keeps_any()
        context = context.of_what_follows()
    own = await conversations.items_of(body, response_id)
    items = [*await conversations.before(body), *own]

    def in_pieces(call: Call) -> Call:  # of what is cancelled in the background, too, there is what was made of it
        return replace(call, is_streamed=call.is_streamed or body.background)

    asked = ask_chat(body.chat(said.validate_python(items)), services, context, in_pieces)
    growing = GrowingResponse(response_id, body, asked.answer, first_place=len(own))
    if body.background:
        limits = services.arguments
        background = _background(limits.llm.max_batch_size, limits.responses.max_background)
        response = await background.begin(asked, growing, conversations, items)
        return HttpResponse(response.model_dump_json(), media_type="application/json")
    if not body.stream:
        await asked.answered()
        response = await conversations.keep(items, growing.response(growing.final_status))
        return HttpResponse(response.model_dump_json(), media_type="application/json")
    first = await anext(asked.events)
    entered: AbstractAsyncContextManager[Cancellation] = nullcontext(Cancellation())
    if conversations.keeps(body):
        entered = conversations.entered(response_id)
    sent = _server_sent_events(growing, first, asked.events, entered, lambda last: conversations.keep(items, last))
    return StreamingResponse(sent, media_type="text/event-stream")


@routes.get("/{response_id}", responses=errors(404))
async def get_response(
    response_id: str,
    conversations: _Conversations,
    stream: Annotated[bool, Query(json_schema_extra={"enum": [False]})] = False,
) -> Response:
    """Show a response as it was sent."""
    if stream:
        raise InvalidField("A response that is kept is not streamed again.", "Ask without stream.", "stream")
    return _as_it_was((await conversations.find(response_id)).response, Response)


@routes.get("/{response_id}/input_items", responses=errors(404))
async def list_input_items(
    response_id: str, conversations: _Conversations, wanted: Annotated[PageWanted, Depends(page_wanted)]
) -> ResponseItemList:
    """List the conversation before an answer, without `instructions`; newest first unless `order` is `asc`."""
    kept = await conversations.find(response_id)
    part = page([_Item(item["id"], item) for item in reversed(kept.items)], wanted)
    listed = {"object": "list"} | part | {"data": [item.value for item in part["data"]]}
    return _as_it_was(listed, ResponseItemList)


@routes.delete("/{response_id}", responses=errors(404))
async def delete_response(response_id: str, conversations: _Conversations) -> ResponseDeleted:
    """Delete a response; responses that continue it keep their copy of the conversation."""
    await conversations.delete(response_id)
    return ResponseDeleted(id=response_id)


@routes.post("/{response_id}/cancel", responses=errors(404))
async def cancel_response(response_id: str, conversations: _Conversations) -> Response:
    """End an answer under way, streamed or in the background, and keep what there is of it; one that is not kept cannot
    be cancelled."""
    ended = await conversations.ended(response_id)
    status = ended.response["status"]
    if status != "cancelled" and not ended.is_under_way:
        raise InvalidInput(f"The response '{response_id}' cannot be cancelled: it is {status}.")
    return _as_it_was(ended.response, Response)


@dataclass
class _Item:
    id: str
    value: dict[str, Any]


def _as_it_was(kept: dict[str, Any], kind: type[T]) -> T:
    """A stored object as it was sent, unvalidated: an earlier version may have written it."""
    return cast("T", HttpResponse(json.dumps(kept, ensure_ascii=False), media_type="application/json"))


async def _server_sent_events(
    growing: GrowingResponse,
    first: Indexed,
    rest: AsyncGenerator[Indexed],
    entered: AbstractAsyncContextManager[Cancellation],
    keep: Callable[[Response], Awaitable[Response]],
) -> AsyncIterator[str]:
    """Stream the typed events of an answer. A client that leaves ends the answer, and nothing is kept."""
    async with aclosing(rest), entered as cancellation:
        try:
            yield _lines(chain(growing.begin(), growing.add(first[1])))
            status: Status | None = None
            while status is None:
                try:
                    _, event = await cancellation.next(rest)
                except StopAsyncIteration:
                    status = growing.final_status
                except Cancelled:
                    status = "cancelled"
                else:
                    if lines := _lines(growing.add(event)):
                        yield lines
            ending = "" if status == "cancelled" else _lines(growing.end())
            yield ending + _line(growing.last(await keep(growing.response(status))))
        except Exception as error:
            yield _lines(growing.failure(as_plait_error(error)))


def _lines(events: Iterable[TypedEvent]) -> str:
    """What is sent at once: a piece for each event would cost the processes on its way more than the event does."""
    return "".join(map(_line, events))


def _line(event: TypedEvent) -> str:
    return f"event: {event.type}\ndata: {event.model_dump_json()}\n\n"
