"""The router: has passages retrieved for the calls that are answered from them.

In: a call for `rag/…`. Out: the call as the LLM gets it, and what was retrieved for it. What retrieves is said by the
model id: the client's, or the one of the arm that a policy chose for `auto` (auto.py).
"""

import asyncio
import time
from dataclasses import replace
from typing import Literal

from ray.serve.handle import DeploymentHandle

from plait.errors import InvalidInput, ModelNotFound
from plait.observability import metrics, tracing
from plait.retrieval.request import Retrieval
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.calls import Call, Retrieved


class Router:
    """Makes the choices of one request ready for the LLM; what they share is retrieved once, when the first asks.

    `retriever` and `retrieval` are None when the application serves without retrieval.
    """

    def __init__(self, retriever: DeploymentHandle | None, retrieval: RetrievalArguments | None) -> None:
        self._retriever = retriever
        refuses = retrieval is not None and retrieval.no_context == "refuse"
        self._without_context: Literal["refused", "answered"] = "refused" if refuses else "answered"
        self._asking = asyncio.Lock()
        self._prepared: tuple[Call, Retrieved] | None = None

    async def prepare(self, call: Call) -> tuple[Call, Retrieved]:
        """The call as the LLM gets it, with retrieved passages, and how they were found.

        Raises:
            ModelNotFound: when nothing is indexed here.
            InvalidInput: for retrieval without a question to retrieve for.
        """
        async with self._asking:
            if self._prepared is None:
                attributes = {"plait.request_id": call.request_id, "gen_ai.request.model": str(call.model)}
                with tracing.span("route", call.traceparent, attributes) as step:
                    self._prepared = await self._prepare(call, step.traceparent)
                    step.span.set_attribute("plait.no_context", self._prepared[1].no_context or "")
        prepared, retrieved = self._prepared
        return replace(prepared, sampling=call.sampling), retrieved

    async def _prepare(self, call: Call, traceparent: str) -> tuple[Call, Retrieved]:
        if self._retriever is None:
            raise ModelNotFound(f"'{call.model}' needs an index, and this application serves without retrieval.")
        questions = [m.content for m in call.messages or () if m.role == "user"]
        if not questions:
            raise InvalidInput(f"'{call.model}' needs a message of the user to retrieve for.")
        started = time.perf_counter()
        asked = call.retrieval or Retrieval()
        retrieved: Retrieved = await self._retriever.retrieve.remote(questions[-1], asked, traceparent)
        took_s = time.perf_counter() - started
        if not retrieved.passages:
            for label in map(metrics.collection_label, retrieved.collections):
                metrics.NO_CONTEXT.labels(collection=label, outcome=self._without_context).inc()
            retrieved = replace(retrieved, no_context=self._without_context)
        if call.deadline_s is not None:
            call = replace(call, deadline_s=max(0.0, call.deadline_s - took_s))
        return replace(call, passages=retrieved.passages, tenant=retrieved.how.tenant), retrieved
