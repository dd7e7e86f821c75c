"""The HTTP API, put together from the routes of its nouns.

In: HTTP. Out: HTTP. It knows no model: the LLM, the retriever, the embedder, the reranker and the indexer answer.
"""

from types import ModuleType

from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig
from ray import serve
from ray.serve.handle import DeploymentHandle

from plait import __version__
from plait.observability import tracing
from plait.scope import Scope
from plait.serve.api import (
    adapters,
    embeddings,
    file_batches,
    files,
    generation,
    models,
    passages,
    probes,
    rag,
    rerank,
    tokenization,
    vector_store_files,
    vector_stores,
)
from plait.serve.api.body_limits import BodyLimits
from plait.serve.api.caller import KeyCheck, requires
from plait.serve.api.errors import install
from plait.serve.api.openapi import describe, errors
from plait.serve.api.request_context import RequestIds, name_span
from plait.serve.api.services import Deployments
from plait.serve.messages.arguments import CitationArguments, RequestLimits, RetrievalArguments
from plait.serve.messages.request_log import log_expected_errors_in_one_line

_ROUTES: dict[Scope, tuple[ModuleType, ...]] = {
    Scope.INFER: (models, generation, rag, embeddings, rerank, tokenization, vector_stores, passages),
    Scope.DOCUMENTS: (files, vector_store_files, file_batches),
    Scope.ADMIN: (adapters,),
}


def build_api(limits: RequestLimits | None = None) -> FastAPI:
    """The application with every route; what the routes ask is `services`. `limits`: None for the defaults."""
    # FastAPI's own spans would stand beside ours, one for every step of its own; its logs quote what was sent.
    telemetry: TelemetryConfig = {"tracing": False, "logs": False}
    api = FastAPI(title="Plait", version=__version__, dependencies=[Depends(name_span)], telemetry=telemetry)
    install(api)
    api.add_middleware(BodyLimits, limits=limits or RequestLimits())
    api.add_middleware(KeyCheck)  # before the limits: of a body nothing is read without a key
    api.add_middleware(RequestIds)  # the outer one: what is refused has an id, too
    api.include_router(probes.routes)
    for scope, nouns in _ROUTES.items():
        for noun in nouns:
            api.include_router(noun.routes, dependencies=[Depends(requires(scope))], responses=errors(401, 403))
    describe(api)
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
        retrieval: RetrievalArguments | None,
        default_max_tokens: int,
        default_timeout_s: float | None,
        max_choices: int,
        limits: RequestLimits,
        citations: CitationArguments,
    ) -> None:
        log_expected_errors_in_one_line()
        tracing.configure("ingress")
        self._limits = limits
        self.deployments = Deployments(
            llm,
            retriever,
            embedder,
            reranker,
            indexer,
            retrieval,
            default_max_tokens,
            default_timeout_s,
            max_choices,
            citations,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self._limits)
