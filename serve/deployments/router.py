"""The router deployment: decides whether to retrieve first, and retrieves. The answer does not pass through it.

For now the client decides by the model id: `rag/…` retrieves, everything else does not. `auto`, which needs a policy
made from measurements, is refused with a sentence.
"""

import asyncio
import time
from dataclasses import replace
from typing import Literal

from ray.serve.handle import DeploymentHandle

from plait.errors import InvalidInput, ModelNotFound, NotFound
from plait.index.passage import Passage
from plait.observability import metrics, tracing
from plait.retrieval.request import Retrieval
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.calls import Call, Collection, Retrieved, Tokens
from plait.serve.messages.protocol import ModelCard
from plait.serve.messages.request_log import log_expected_errors_in_one_line


class Router:
    """Makes calls ready for the LLM. `retriever` is None when the application serves without retrieval."""

    def __init__(
        self, llm: DeploymentHandle, retriever: DeploymentHandle | None, retrieval: RetrievalArguments | None
    ) -> None:
        log_expected_errors_in_one_line()
        tracing.configure("router")
        self._llm, self._retriever, self._retrieval = llm, retriever, retrieval
        refuses = retrieval is not None and retrieval.no_context == "refuse"
        self._without_context: Literal["refused", "answered"] = "refused" if refuses else "answered"

    async def prepare(self, call: Call) -> tuple[Call, Retrieved]:
        """The call as the LLM gets it, with retrieved passages, and how they were found.

        Raises:
            ModelNotFound: for `auto`, and for `rag/…` when nothing is indexed here.
            InvalidInput: for retrieval without a question to retrieve for.
        """
        attributes = {"plait.request_id": call.request_id, "gen_ai.request.model": str(call.model)}
        with tracing.span("route", call.traceparent, attributes) as step:
            call, retrieved = await self._prepare(call, step.traceparent)
            step.span.set_attribute("plait.no_context", retrieved.no_context or "")
            return call, retrieved

    async def _prepare(self, call: Call, traceparent: str) -> tuple[Call, Retrieved]:
        if call.model.is_auto:
            raise ModelNotFound("'auto' has no routing policy yet.", "Ask for base, an adapter, or rag/ before either.")
        if self._retriever is None:
            raise ModelNotFound(f"'{call.model}' needs an index, and this application serves without retrieval.")
        questions = [m.content for m in call.messages or () if m.role == "user"]
        if not questions:
            raise InvalidInput(f"'{call.model}' needs a message of the user to retrieve for.")
        started = time.perf_counter()
        retrieved = await self.retrieve(questions[-1], call.retrieval or Retrieval(), traceparent)
        took_s = time.perf_counter() - started
        if not retrieved.passages:
            metrics.NO_CONTEXT.labels(collection=retrieved.collection, outcome=self._without_context).inc()
            retrieved = replace(retrieved, no_context=self._without_context)
        if call.deadline_s is not None:
            call = replace(call, deadline_s=max(0.0, call.deadline_s - took_s))
        return replace(call, passages=retrieved.passages, tenant=retrieved.how.tenant), retrieved

    async def retrieve(self, question: str, options: Retrieval, traceparent: str) -> Retrieved:
        """The passages for a question; `traceparent`: the span that asks.

        Raises:
            NotFound: when nothing is indexed here.
            InvalidInput: for a filter that is none, or a reranking that this application cannot do.
        """
        retrieved: Retrieved = await self._there().retrieve.remote(question, options, traceparent)
        return retrieved

    async def passage(self, collection: str, chunk_id: str, tenant: str | None) -> Passage:
        """A passage of a collection that is served, for a tenant (None: the server's).

        Raises:
            NotFound: when there is none, or nothing is indexed here.
        """
        passage: Passage = await self._there().passage.remote(collection, chunk_id, tenant)
        return passage

    async def collections(self, tenant: str | None) -> list[Collection]:
        """The collections that are served, the first one first, with what they hold for a tenant (None: the server's).

        Raises:
            NotFound: when nothing is indexed here.
        """
        there = self._there()
        names = self._retrieval.collections if self._retrieval else ()
        return list(await asyncio.gather(*(there.collection.remote(name, tenant) for name in names)))

    async def collection(self, name: str, tenant: str | None) -> Collection:
        """One of the collections that are served.

        Raises:
            NotFound: when it is not, or nothing is indexed here.
        """
        collection: Collection = await self._there().collection.remote(name, tenant)
        return collection

    async def check_collection(self, name: str) -> None:
        """Whether a collection is served.

        Raises:
            NotFound: when it is not, or nothing is indexed here.
        """
        self._there()
        if self._retrieval is not None:
            self._retrieval.check_collection(name)

    def _there(self) -> DeploymentHandle:
        if self._retriever is None:
            raise NotFound("This application serves without retrieval.", "Serve a collection: retrieval.collection.")
        return self._retriever

    async def models(self) -> list[ModelCard]:
        """Every model id that can be asked for."""
        cards: list[ModelCard] = await self._llm.models.remote()
        if self._retriever is None:
            return cards
        return cards + [card.model_copy(update={"id": f"rag/{card.id}", "parent": card.id}) for card in cards]

    async def tokenize(self, call: Call, add_special_tokens: bool) -> Tokens:
        """The tokens of a call's prompt, without passages."""
        tokens: Tokens = await self._llm.tokenize.remote(call, add_special_tokens)
        return tokens

    async def detokenize(self, tokens: list[int]) -> str:
        """The text of tokens."""
        text: str = await self._llm.detokenize.remote(tokens)
        return text

    async def is_ready(self) -> bool:
        """Answers when the retriever does, and the index behind it."""
        if self._retriever is not None:
            await self._retriever.is_ready.remote()
        return True
