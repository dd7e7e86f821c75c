"""/v1/fine_tuning/jobs in OpenAI's shape: train adapters on the served model. For keys of the scope `jobs`.

In: orders. Out: how they stand. What is done about one is the job runner's; here it is only noted.
"""

import asyncio
import re
import time
from typing import Annotated

import yaml
from fastapi import APIRouter, Depends, Request

from plait.client_jobs.tuning import RECIPE_FILE, TUNING_JOBS, EventLog, TuningEvent, TuningJob, model_name
from plait.errors import Conflict, Forbidden, InvalidField, ModelNotFound
from plait.model_ids import ModelId
from plait.serve.api.fine_tuning.objects import (
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    checkpoint_objects,
    event_object,
    job_object,
)
from plait.serve.api.fine_tuning.recipe import hyperparameters_of, recipe_of
from plait.serve.api.fine_tuning.requests import NewTuningJob
from plait.serve.api.listing import Page, PageWanted, page, page_wanted
from plait.serve.api.openapi import errors
from plait.serve.api.orders import Orders, orders, trains
from plait.serve.api.services import Services, services

routes = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["jobs"], dependencies=[Depends(trains)])
_Orders = Annotated[Orders, Depends(orders)]
_Wanted = Annotated[PageWanted, Depends(page_wanted)]
_PURPOSE = "fine-tune"
_PAIR = re.compile(r"metadata\[(.{1,64})\]")


@routes.post("", responses=errors(403, 404, 429, 507))
async def create(
    body: NewTuningJob, orders: _Orders, services: Annotated[Services, Depends(services)]
) -> FineTuningJob:
    """Train an adapter on uploaded examples. It is served under its name as soon as the job has succeeded."""
    start_from = await _start_of(body.model, orders, services)
    training = orders.file(body.training_file, _PURPOSE, "training_file")
    validation = orders.file(body.validation_file, _PURPOSE, "validation_file") if body.validation_file else None
    job_id = TUNING_JOBS.new_id()
    name = model_name(job_id, body.suffix)
    recipe = await asyncio.to_thread(
        recipe_of, body, name, start_from, training.path, validation.path if validation else None, orders.arguments
    )
    job = TuningJob(
        id=job_id,
        created_at=int(time.time()),
        of=orders.caller.reach,
        owner=orders.caller.owner,
        metadata=body.metadata or {},
        name=name,
        model=body.model,
        training_file=training.id,
        validation_file=validation.id if validation else None,
        method=body.kind,
        hyperparameters=hyperparameters_of(body, recipe),
        seed=recipe.train.seed,
    )
    written = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    await orders.place(TUNING_JOBS, job, orders.arguments.fine_tuning.max_waiting, {RECIPE_FILE: written})
    if body.integrations:
        EventLog(job_id).add([_nothing_is_sent(job)])
    return job_object(job)


@routes.get("", responses=errors(404))
async def list_jobs(request: Request, orders: _Orders, wanted: _Wanted) -> Page[FineTuningJob]:
    """The jobs, newest first unless `order` is `asc`; with `metadata[key]=value` those that have this pair."""
    asked = {match[1]: value for name, value in request.query_params.items() if (match := _PAIR.fullmatch(name))}
    jobs = await asyncio.to_thread(TUNING_JOBS.jobs, orders.caller.reach)
    found = [job_object(job) for job in jobs if asked.items() <= job.metadata.items()]
    return Page[FineTuningJob](**page(found, wanted))


@routes.get("/{job_id}", responses=errors(404))
async def get_job(job_id: str, orders: _Orders) -> FineTuningJob:
    """How it stands with a job."""
    return job_object(_job(job_id, orders))


@routes.post("/{job_id}/cancel", responses=errors(404, 409))
async def cancel(job_id: str, orders: _Orders) -> FineTuningJob:
    """End a job; nothing of it is served."""
    return job_object(await orders.end(TUNING_JOBS, job_id))


@routes.get("/{job_id}/events", responses=errors(404))
async def list_events(job_id: str, orders: _Orders, wanted: _Wanted) -> Page[FineTuningJobEvent]:
    """What has happened, newest first unless `order` is `asc`."""
    job = _job(job_id, orders)
    events = await asyncio.to_thread(EventLog(job.id).read)
    return Page[FineTuningJobEvent](**page([event_object(each) for each in reversed(events)], wanted))


@routes.get("/{job_id}/checkpoints", responses=errors(404))
async def list_checkpoints(job_id: str, orders: _Orders, wanted: _Wanted) -> Page[FineTuningJobCheckpoint]:
    """The checkpoint whose weights are served, once the job has succeeded."""
    return Page[FineTuningJobCheckpoint](**page(checkpoint_objects(_job(job_id, orders)), wanted))


# What is always refused is no part of the description.
@routes.post("/{job_id}/pause", include_in_schema=False)
async def pause(job_id: str, orders: _Orders) -> FineTuningJob:
    """Refused: a job is not paused."""
    raise _never_paused(_job(job_id, orders))


@routes.post("/{job_id}/resume", include_in_schema=False)
async def resume(job_id: str, orders: _Orders) -> FineTuningJob:
    """Refused: a job is not paused."""
    raise _never_paused(_job(job_id, orders))


def _job(job_id: str, orders: Orders) -> TuningJob:
    return TUNING_JOBS.find(job_id, orders.caller.reach)


def _never_paused(job: TuningJob) -> Conflict:
    return Conflict(
        f"The fine-tuning job '{job.id}' can be neither paused nor resumed.",
        "Cancel it, or let it train; one that was killed goes on by itself.",
    )


async def _start_of(model: str, orders: Orders, services: Services) -> str | None:
    """The adapter to train on; None: the base model.

    Raises:
        InvalidField: for a model that is none to train.
        ModelNotFound: for one that there is not.
        Forbidden: for one that is not for this caller.
    """
    if model == orders.arguments.llm.model:
        return None
    asked = ModelId.requested(model)
    if asked.with_retrieval or asked.is_auto:
        raise InvalidField(f"'{asked}' is no model to train.", "Name base, or an adapter.", "model")
    if asked.adapter is None:
        return None
    if not orders.caller.may_use_adapter(asked.adapter.name):
        raise Forbidden(f"This key may not use '{asked}'.", "GET /v1/models lists what it may use.")
    if str(asked) not in {card.id for card in await services.models()}:
        raise ModelNotFound(f"There is no model '{asked}' to train on.", "Name base, or one that GET /v1/models lists.")
    return str(asked)


def _nothing_is_sent(job: TuningJob) -> TuningEvent:
    message = "Nothing is sent to Weights & Biases: losses are in these events, the result file, and MLflow."
    return TuningEvent(id=f"{job.id}-wandb", created_at=job.created_at, level="warn", message=message)
