"""The HTTP API, put together from the routes of its nouns.

In: HTTP. Out: HTTP. It knows no model: the LLM, the retriever, the embedder, the reranker and the indexer answer;
the reviewer takes what was answered.
"""

from collections.abc import Sequence
from types import ModuleType

from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from plait import __version__
from plait.client_jobs.batches import Served
from plait.observability import tracing
from plait.scope import Scope
from plait.serve.api import (
    adapters,
    batches,
    embeddings,
    feedback,
    file_batches,
    files,
    generation,
    lineage,
    models,
    passages,
    probes,
    rag,
    rerank,
    score,
    tokenization,
    uploads,
    vector_store_changes,
    vector_store_files,
    vector_stores,
)
from plait.serve.api.anthropic import messages
from plait.serve.api.anthropic.answers import MessageStreamEvent
from plait.serve.api.auto import AutoRouter
from plait.serve.api.body_limits import BodyLimits
from plait.serve.api.caller import KeyCheck, requires
from plait.serve.api.errors import install
from plait.serve.api.fine_tuning import routes as fine_tuning_jobs
from plait.serve.api.from_within import answered_inside
from plait.serve.api.generation_answers import ChatCompletionChunk, CompletionChunk
from plait.serve.api.openapi import describe, errors
from plait.serve.api.request_context import ID_HEADER, TRACE_HEADER, RequestIds, name_span
from plait.serve.api.responses import routes as responses
from plait.serve.api.responses import tidying
from plait.serve.api.responses.events import ResponseStreamEvent
from plait.serve.api.reviews import Reviews
from plait.serve.api.services import Deployments
from plait.serve.api.shadows import Shadows
from plait.serve.messages.arguments import AppArguments, RequestLimits
from plait.serve.messages.request_log import log_expected_errors_in_one_line

_METHODS_OF_PAGES = ("GET", "POST", "DELETE")
# Who has one of these scopes may use these routes: whoever writes documents may find them, too.
_ROUTES: dict[tuple[Scope, ...], tuple[ModuleType, ...]] = {
    (Scope.INFER,): (models, generation, messages, responses, rag, embeddings, rerank, score, tokenization, feedback),
    (Scope.INFER, Scope.DOCUMENTS): (vector_stores, passages, lineage),
    (Scope.DOCUMENTS,): (files, uploads, vector_store_changes, vector_store_files, file_batches),
    (Scope.JOBS,): (fine_tuning_jobs, batches),
    (Scope.ADMIN,): (adapters,),
}


class _Api(FastAPI):
    """An application that lets pages of some origins read all its answers, those to its own errors, too."""

    cors_origins: Sequence[str] = ()

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        if not self.cors_origins:
            return stack
        # Outermost: a preflight has no key, and a page may read why it was refused. What `add_middleware` adds lies
        # inside the handler of unexpected errors, whose 500 it would miss.
        return CORSMiddleware(
            stack,
            allow_origins=self.cors_origins,
            allow_methods=_METHODS_OF_PAGES,
            allow_headers=["*"],
            expose_headers=[ID_HEADER, TRACE_HEADER, "Retry-After"],
        )


def build_api(limits: RequestLimits | None = None, cors_origins: Sequence[str] = ()) -> FastAPI:
    """The application with every route; what the routes ask is `services`.

    Args:
        limits: of requests; None for the defaults.
        cors_origins: origins of pages in browsers that may ask; none: a browser lets no page ask.
    """
    # FastAPI's own spans would stand beside ours, one for every step of its own; its logs quote what was sent.
    telemetry: TelemetryConfig = {"tracing": False, "logs": False}
    api = _Api(title="Plait", version=__version__, dependencies=[Depends(name_span)], telemetry=telemetry)
    api.cors_origins = cors_origins
    install(api)
    api.add_middleware(BodyLimits, limits=limits or RequestLimits())
    api.add_middleware(KeyCheck)  # before the limits: of a body nothing is read without a key
    api.add_middleware(RequestIds)  # outside the others: what is refused has an id, too
    api.include_router(probes.routes)
    for scopes, nouns in _ROUTES.items():
        for noun in nouns:
            api.include_router(noun.routes, dependencies=[Depends(requires(*scopes))], responses=errors(401, 403))
    describe(api, events=(ChatCompletionChunk, CompletionChunk, ResponseStreamEvent, MessageStreamEvent))
    return api


# An application that is given here would be frozen as it is now; this one is built where it runs.
@serve.ingress()
class Ingress:
    """One replica of the API."""

    def __init__(
        self,
        llm: DeploymentHandle,
        retriever: DeploymentHandle | None,
        embedder: DeploymentHandle | None,
        reranker: DeploymentHandle | None,
        indexer: DeploymentHandle | None,
        reviewer: DeploymentHandle | None,
        runner: DeploymentHandle | None,
        arguments: AppArguments,
    ) -> None:
        log_expected_errors_in_one_line()
        tracing.configure("ingress")
        tidying.start(arguments.responses)
        self._limits, self._cors_origins = arguments.limits, arguments.cors_origins
        reviews = Reviews(reviewer, arguments) if reviewer else None
        auto = AutoRouter(arguments.routing, embedder) if arguments.routing else None
        self.deployments = Deployments(
            llm,
            retriever,
            embedder,
            reranker,
            indexer,
            arguments,
            reviews=reviews,
            shadows=Shadows(llm, reviews),
            runner=runner,
            auto=auto,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        self._api = build_api(self._limits, self._cors_origins)
        return self._api

    async def answer(self, key_id: str | None, base_url: str, path: str, body: bytes) -> Served:
        """Answer a request of a batch as if it had come over HTTP; see `answered_inside`."""
        return await answered_inside(self._api, key_id, base_url, path, body)
