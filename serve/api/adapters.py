"""Admin routes for adapters, in vLLM's shape: load, unload, list, pin; off without a key.

In: a request with a key of the scope `admin`. Out: one sentence, or a list. One replica of the LLM loads
and verifies; the others follow the served set.
"""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import Field
from ray import serve
from ray.serve.handle import DeploymentHandle

from plait.serve.adapters.report import AdapterCard, merged
from plait.serve.api.request_body import LenientPart, RequestBody
from plait.serve.messages.protocol import ObjectList

_LIST_TIMEOUT_S = 10.0


class LoadAdapterRequest(RequestBody):
    """vLLM's fields. `lora_path`: a folder, s3://…, a hub id, or a name in the registry (`support:3`)."""

    lora_name: str = Field(min_length=1, max_length=256)
    lora_path: str = Field(min_length=1, max_length=4096)
    load_inplace: bool = Field(False, description="Replace the adapter of this name; running requests end on the old.")


class UnloadAdapterRequest(LenientPart):
    """vLLM's clients may send lora_int_id, which vLLM itself does not use here."""

    lora_name: str = Field(min_length=1)


routes = APIRouter(tags=["adapters"])


def _llm() -> DeploymentHandle:
    # Not through the routes' services: what needs a handle of the LLM itself is broadcast and addressed to replicas.
    return serve.get_deployment_handle("LLM", serve.get_replica_context().app_name)


@routes.post("/v1/load_lora_adapter", response_class=PlainTextResponse)
async def load_lora_adapter(body: LoadAdapterRequest) -> str:
    """Serve an adapter under a name, in every replica."""
    await _llm().load_adapter.remote(body.lora_name, body.lora_path, body.load_inplace)
    return f"Success: LoRA adapter '{body.lora_name}' added successfully."


@routes.post("/v1/unload_lora_adapter", response_class=PlainTextResponse)
async def unload_lora_adapter(body: UnloadAdapterRequest) -> str:
    """Serve it no longer; requests that run end on it."""
    await _llm().unload_adapter.remote(body.lora_name)
    return f"Success: LoRA adapter '{body.lora_name}' removed successfully."


@routes.get("/v1/adapters")
async def list_adapters() -> ObjectList[AdapterCard]:
    """Every adapter that a replica knows, with the tier that it is in there."""
    return merged(await _llm().broadcast("adapters").results_async(timeout_s=_LIST_TIMEOUT_S))


@routes.post("/v1/adapters/{name}/pin", response_class=PlainTextResponse)
async def pin(name: str) -> str:
    """Keep what a name means in memory; a pinned alias is followed."""
    await _llm().pin_adapter.remote(name, True)
    return f"Success: adapter '{name}' is pinned."


@routes.post("/v1/adapters/{name}/unpin", response_class=PlainTextResponse)
async def unpin(name: str) -> str:
    """Let it leave memory when others need the room."""
    await _llm().pin_adapter.remote(name, False)
    return f"Success: adapter '{name}' is pinned no longer."
