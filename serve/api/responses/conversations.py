"""The conversations of one caller: what is kept of its responses, and what a request goes on with.

In: who asks. Out: its `Conversations`, which no other key sees.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any

from fastapi import Depends

from plait.errors import InsufficientStorage, InvalidField, InvalidInput, NotFound
from plait.serve.api.caller import Caller, caller
from plait.serve.api.responses.cancellation import Cancellation, UnderWay
from plait.serve.api.responses.input_items import ItemReference, carried, listed
from plait.serve.api.responses.objects import Response
from plait.serve.api.responses.requests import ResponseRequest
from plait.serve.api.responses.storage import ResponseStorage, StoredResponse, is_response_id, response_of_item
from plait.serve.api.services import Services, services
from plait.serve.messages.arguments import ResponseArguments

_log = logging.getLogger("ray.serve")
_ENDS_WITHIN_S, _LOOK_WHETHER_ENDED_EVERY_S = 3.0, 0.1
_LOST = {
    "code": "server_error",
    "message": "The server ended while it made this answer, or could not keep it. Ask again.",
}


class PreviousResponseNotFound(InvalidField):
    """As OpenAI has it: 400, and not 404."""

    code = "previous_response_not_found"


@cache
def _of_this_process() -> UnderWay:
    return UnderWay()


@dataclass(frozen=True)
class Conversations:
    """What is kept for an owner, and what is under way for it."""

    storage: ResponseStorage
    owner: str
    under_way: UnderWay = field(default_factory=_of_this_process)

    def keeps(self, body: ResponseRequest) -> bool:
        """Whether the answer to a request is to be kept."""
        return body.store and self.storage.keeps_any

    def check_keeps_any(self) -> None:
        """Whether anything is kept at all, as what is made in the background must be.

        Raises:
            InvalidField: when nothing is.
        """
        if not self.storage.keeps_any:
            raise InvalidField(
                "This server keeps no responses, so it makes none in the background.", "Leave it out.", "background"
            )

    def entered(self, response_id: str) -> AbstractAsyncContextManager[Cancellation]:
        """Register an answer that will be kept for as long as it is made."""
        return self.under_way.entered(self._name(response_id))

    async def find(self, response_id: str) -> StoredResponse:
        """The response of this id; one that no replica makes any more has failed.

        Raises:
            NotFound: when there is none of this owner's.
        """
        kept = await self._read(response_id)
        if not kept.is_under_way or await self.under_way.has(self._name(response_id)):
            return kept
        kept = await self._read(response_id)  # it is kept before its mark goes
        if kept.is_under_way:
            kept = replace(kept, response=kept.response | {"status": "failed", "error": _LOST})
            with suppress(InsufficientStorage, OSError):
                await asyncio.to_thread(self.storage.keep, self.owner, kept)
        return kept

    async def ended(self, response_id: str) -> StoredResponse:
        """The response of this id; if it is under way, on whichever replica, that is told to end and waited for.

        Raises:
            NotFound: when there is none of this owner's.
        """
        name, until = self._name(response_id), time.monotonic() + _ENDS_WITHIN_S
        if await self._may_be_under_way(response_id) and await self.under_way.cancel(name):
            while await self.under_way.has(name) and time.monotonic() < until:
                if not await self._may_be_under_way(response_id):
                    break
                await asyncio.sleep(_LOOK_WHETHER_ENDED_EVERY_S)
        return await self.find(response_id)

    async def _may_be_under_way(self, response_id: str) -> bool:
        try:
            return (await self._read(response_id)).is_under_way
        except NotFound:  # a streamed answer is kept when it has ended
            return is_response_id(response_id)

    async def _read(self, response_id: str) -> StoredResponse:
        return await asyncio.to_thread(self.storage.find, self.owner, response_id)

    def _name(self, response_id: str) -> str:
        return f"{self.owner}.{response_id}"

    async def keep_unfinished(self, items: list[dict[str, Any]], response: Response) -> Response:
        """Keep a response that is still to be made.

        Raises:
            InsufficientStorage: when the disk is full.
            InvalidInput: when it is larger than all that may be kept.
        """
        unfinished = StoredResponse(items, response.model_dump(mode="json"))
        if not await asyncio.to_thread(self.storage.keep, self.owner, unfinished):
            raise InvalidInput(
                "This conversation is larger than all that is kept for a key, so it is not answered in the background.",
                "Ask without background.",
            )
        return response

    async def keep(self, items: list[dict[str, Any]], response: Response) -> Response:
        """Keep a response with the items before it, where it asks for that; it says whether it is kept."""
        if response.store:
            kept = StoredResponse(items, response.model_dump(mode="json"))
            try:
                response.store = await asyncio.to_thread(self.storage.keep, self.owner, kept)
            except (InsufficientStorage, OSError) as error:  # the answer is there; only its copy is not
                _log.warning("a response is not kept: %s", error)
                response.store = False
        return response

    async def delete(self, response_id: str) -> None:
        """Forget a response.

        Raises:
            NotFound: when there is none of this owner's.
        """
        if (await self.find(response_id)).is_under_way:
            await self.ended(response_id)  # else it would be kept again at its end
        await asyncio.to_thread(self.storage.delete, self.owner, response_id)

    async def before(self, body: ResponseRequest) -> list[dict[str, Any]]:
        """The conversation that `previous_response_id` continues, oldest item first.

        Raises:
            PreviousResponseNotFound: when it is not kept.
            InvalidField: when it is still being made.
        """
        if body.previous_response_id is None:
            return []
        try:
            before = await self.find(body.previous_response_id)
        except NotFound as error:
            raise PreviousResponseNotFound(error.what, error.remedy, "previous_response_id") from None
        if before.is_under_way:
            raise InvalidField(
                f"The response '{body.previous_response_id}' is still being made.",
                "GET it until it has ended, then go on with it.",
                "previous_response_id",
            )
        return [*map(carried, before.conversation)]

    async def items_of(self, body: ResponseRequest, response_id: str) -> list[dict[str, Any]]:
        """The items of the request's own input, with the ids that they get in the response `response_id`.

        Raises:
            NotFound: for a reference to an item that is not kept.
            InvalidField: for two references to one item.
        """
        kept = await self._kept_items([item.id for item in body.items if isinstance(item, ItemReference)])
        items: list[dict[str, Any]] = []
        for item in body.items:
            given = kept[item.id] if isinstance(item, ItemReference) else listed(item, response_id, len(items))
            if given is not None:
                items.append(given)
        return items

    async def _kept_items(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The items of these ids. Each response is read once, however many of its items are referred to."""
        of_response: dict[str, set[str]] = {}
        for id in ids:
            of_one = of_response.setdefault(response_of_item(id) or "", set())
            if id in of_one:
                raise InvalidField(f"The input refers to the item '{id[:80]}' twice.", "Refer to it once.", "input")
            of_one.add(id)
        found: dict[str, dict[str, Any]] = {}
        for response_id, wanted in of_response.items():
            with suppress(NotFound):
                kept = await self.find(response_id)
                found |= {item["id"]: carried(item) for item in kept.conversation if item["id"] in wanted}
        missing = next((id for id in ids if id not in found), None)
        if missing is not None:
            raise NotFound(f"There is no item '{missing[:80]}'.", "Send the item itself.")
        return found


@cache
def _storage(limits: ResponseArguments) -> ResponseStorage:
    return ResponseStorage(limits)


async def conversations(
    services: Annotated[Services, Depends(services)], asking: Annotated[Caller, Depends(caller)]
) -> Conversations:
    """The conversations of the caller."""
    return Conversations(_storage(services.arguments.responses), asking.owner)
