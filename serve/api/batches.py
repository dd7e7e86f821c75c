"""/v1/batches in OpenAI's shape: files of requests, answered beside those that somebody waits for. Scope: `jobs`.

In: orders. Out: how they stand. What is done about one is the job runner's; here it is only noted. A request is asked
with the rights that the key has by then.
"""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.client_jobs.batches import BATCHES, Batch, BatchError, Endpoint, Status
from plait.serve.api.listing import Page, PageWanted, page, page_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.orders import Orders, orders, runs_batches
from plait.serve.api.request_body import Refused, RequestBody
from plait.serve.api.request_context import RequestContext, request_context
from plait.serve.api.responses.objects import InputTokensDetails, ResponseUsage
from plait.serve.api.responses.requests import Metadata
from plait.serve.api.uploads import FileExpiry
from plait.serve.messages.job_arguments import BatchArguments

routes = APIRouter(prefix="/v1/batches", tags=["jobs"], dependencies=[Depends(runs_batches)])
_Orders = Annotated[Orders, Depends(orders)]
_NO_ENDPOINT = Refused(
    "batches are of /v1/chat/completions, /v1/completions, /v1/embeddings or /v1/responses; nothing else is made here"
)


class NewBatch(RequestBody):
    """`output_expires_after`: of the files with the answers."""

    input_file_id: str = Field(max_length=128, description="JSON Lines, sent with the purpose `batch`.")
    endpoint: Annotated[Endpoint, _NO_ENDPOINT]
    completion_window: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}h$")] = Field(
        "24h", description="OpenAI's; when a batch expires is as the server is configured."
    )
    metadata: Metadata | None = None
    output_expires_after: FileExpiry | None = None


class RequestCounts(BaseModel):
    total: int
    completed: int
    failed: int


class BatchErrors(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchError]


class BatchPrice(BaseModel):
    """`price`: of a token, as a share of what it costs when somebody waits. `cost`: of all answers, in the currency of
    the server's `prices`; None: not before the batch has ended, nor where there are none."""

    price: float
    cost: float | None = None


class BatchObject(BaseModel):
    """Times are seconds since 1970, UTC."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    status: Status
    input_file_id: str
    completion_window: str
    output_file_id: str | None
    error_file_id: str | None
    errors: BatchErrors | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: ResponseUsage | None
    metadata: dict[str, str] | None
    plait: BatchPrice


@routes.post("", responses=errors(403, 404, 429, 507))
async def create(
    body: NewBatch, orders: _Orders, context: Annotated[RequestContext, Depends(request_context)]
) -> BatchObject:
    """Answer the requests of a file: all lines are looked at first, and one that is wrong fails the batch."""
    file = orders.file(body.input_file_id, "batch", "input_file_id")
    now = int(time.time())
    settings = orders.arguments.batches
    batch = Batch(
        id=BATCHES.new_id(),
        created_at=now,
        of=orders.caller.reach,
        owner=orders.caller.owner,
        key_id=orders.caller.key.id if orders.caller.key else None,
        base_url=context.base_url,
        endpoint=body.endpoint,
        input_file_id=file.id,
        completion_window=body.completion_window,
        expires_at=now + int(settings.window_h * 3600),
        output_expires_after_s=body.output_expires_after.seconds if body.output_expires_after else None,
        metadata=body.metadata or {},
    )
    return batch_object(await orders.place(BATCHES, batch, settings.max_waiting), settings)


@routes.get("", responses=errors(404))
async def list_batches(orders: _Orders, wanted: Annotated[PageWanted, Depends(page_wanted)]) -> Page[BatchObject]:
    """The batches, newest first unless `order` is `asc`."""
    found = await asyncio.to_thread(BATCHES.jobs, orders.caller.reach)
    return Page[BatchObject](**page([batch_object(each, orders.arguments.batches) for each in found], wanted))


@routes.get("/{batch_id}", responses=errors(404))
async def get_batch(batch_id: str, orders: _Orders) -> BatchObject:
    """How it stands with a batch."""
    return batch_object(BATCHES.find(batch_id, orders.caller.reach), orders.arguments.batches)


@routes.post("/{batch_id}/cancel", responses=errors(404, 409))
async def cancel(batch_id: str, orders: _Orders) -> BatchObject:
    """End a batch; what is answered so far is in its file in a moment."""
    return batch_object(await orders.end(BATCHES, batch_id), orders.arguments.batches)


def batch_object(batch: Batch, settings: BatchArguments) -> BatchObject:
    """A batch as OpenAI's clients know it."""
    to_end = BATCHES.to_end_since(batch.id)
    used = batch.usage
    usage = used and ResponseUsage(
        input_tokens=used.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=used.cached_tokens),
        output_tokens=used.output_tokens,
        total_tokens=used.input_tokens + used.output_tokens,
    )
    return BatchObject(
        **batch.model_dump(include=set(BatchObject.model_fields) - {"status", "errors", "usage", "metadata"}),
        status="cancelling" if to_end is not None and not batch.has_ended else batch.status,
        errors=BatchErrors(data=list(batch.errors)) if batch.errors else None,
        cancelling_at=to_end,
        request_counts=RequestCounts(total=batch.total, completed=batch.completed, failed=batch.failed),
        usage=usage,
        metadata=batch.metadata or None,
        plait=BatchPrice(price=settings.price, cost=used.cost if used else None),
    )
