"""The retriever deployment: questions in, passages out, by the pipeline that jobs retrieve by too.

What it adds: questions that come together share one batch, an index that was rebuilt is opened again, and each
retrieval has a span and a line in the log. The models are deployments of their own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ray import serve
from ray.serve.handle import DeploymentHandle

from plait.errors import CollectionNotFound, Conflict, NotFound
from plait.index.collection import Index
from plait.index.passage import Passage
from plait.index.stores.connect import connect_store
from plait.models.vectors import VectorKind
from plait.observability import tracing
from plait.recipes import Rerank
from plait.retrieval.pipeline import Found, Query, RetrievalPipeline
from plait.retrieval.question import MAX_CHARACTERS, EmbeddedQuestions, Question
from plait.retrieval.request import Retrieval
from plait.serve.deployments.probe import Probe
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.calls import Collection, Retrieved
from plait.serve.messages.request_log import log_expected_errors_in_one_line, say
from plait.settings import settings

_T = TypeVar("_T")
_PROBE_TIMEOUT_S = 1.5


class Retriever:
    """Retrieval from the collections of an application, with the embedding model that made them.

    It follows a rebuild of a collection, also one with another model, if the embedder may change its own.

    Raises:
        Conflict: when the embedder has another model.
    """

    # Serve awaits it: a replica that has no questions to ask must not get any.
    async def __init__(  # type: ignore[misc]
        self, arguments: RetrievalArguments, embedder: DeploymentHandle, reranker: DeploymentHandle | None
    ) -> None:
        log_expected_errors_in_one_line()
        tracing.configure("retriever")
        self._arguments = arguments
        self._pipeline = RetrievalPipeline(DeployedModels(embedder, reranker))
        self._store = connect_store()
        self._indexes = {name: Index.open(name, self._store) for name in arguments.collections}
        self._opening = asyncio.Lock()
        self._probe = Probe(lambda: self._store.check_answers(_PROBE_TIMEOUT_S), "The index does not answer.")
        source = await embedder.model_source.remote()
        for index in self._indexes.values():
            if source != index.embedding_model:
                raise Conflict(
                    f"Collection '{index.name}' was made with '{index.embedding_model}', not with '{source}'.",
                    "Leave embedding.model out: the first collection's is served then, and all must be of it.",
                )

    async def retrieve(self, question: str, options: Retrieval, traceparent: str) -> Retrieved:
        """The passages for a question, best first; none where it holds no word.

        What `options` does not set is the server's. `traceparent`: the span that asks.

        Raises:
            CollectionNotFound: for a collection that is not served.
            InvalidInput: for a filter that is none, or a reranking that this application cannot do.
            Unavailable: when Milvus does not answer.
        """
        wanted = Question.of(question)
        how = options.over(self._arguments)
        collection = how.collection or self._arguments.collection
        self._arguments.check_collection(collection)
        self._pipeline.check(how)
        about: dict[str, str | int] = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": collection,
            "plait.tenant": how.tenant,
            "plait.retrieval.mode": how.mode,
            "plait.retrieval.rerank": how.rerank,
            "gen_ai.request.top_k": how.top_k,
        }
        if settings().log_content:
            about["gen_ai.retrieval.query.text"] = question[:MAX_CHARACTERS]
        with tracing.span(f"retrieval {collection}", traceparent, about) as step:
            if wanted is None:
                retrieved = Retrieved((), collection, how, {"total": 0.0})
            else:
                retrieved = await self._following(
                    collection, lambda: self._retrieve(wanted, how, collection, step.traceparent)
                )
            step.span.set_attribute("plait.retrieval.passages", len(retrieved.passages))
        say(
            "retrieval",
            at="retriever",
            trace_id=tracing.trace_id(step.traceparent),
            tenant=how.tenant,
            collection=collection,
            mode=how.mode,
            rerank=how.rerank,
            passages=len(retrieved.passages),
            timings_ms={stage: round(value, 1) for stage, value in retrieved.timings_ms.items()},
        )
        return retrieved

    async def _retrieve(self, question: Question, how: Retrieval, collection: str, traceparent: str) -> Retrieved:
        started = time.perf_counter()
        query = Query(self._indexes[collection], question, how, traceparent)
        found = await self._find_together(query)
        if isinstance(found, Exception):
            raise found
        passages = await self._pipeline.choose(query, found)
        query.timings_ms["total"] = (time.perf_counter() - started) * 1000
        is_cut = question.is_cut or found.is_cut
        return Retrieved(tuple(passages), collection, how, query.timings_ms, is_cut=is_cut)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)  # type: ignore[untyped-decorator]  # ray ships no types
    async def _find_together(self, queries: list[Query]) -> list[Found | Exception]:
        return await self._pipeline.find(queries)

    async def _following(self, collection: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """An answer from an index, asked for again when a rebuild has put another in its place."""
        index = self._indexes[collection]
        try:
            return await ask()
        except CollectionNotFound:
            async with self._opening:
                if self._indexes[collection] is index:  # else another question came here before
                    self._indexes[collection] = await asyncio.to_thread(Index.open, collection, self._store)
            return await ask()

    async def collection(self, name: str, tenant: str | None) -> Collection:
        """What is searched under a name for a tenant (None: the server's). Reads the names of its documents.

        Raises:
            CollectionNotFound: for a collection that is not served.
        """
        self._arguments.check_collection(name)

        async def describe() -> Collection:
            index = self._indexes[name]
            documents = await asyncio.to_thread(index.document_states, tenant or self._arguments.tenant)
            return Collection(index.name, index.embedding_model, index.dimension, len(documents))

        return await self._following(name, describe)

    async def passage(self, collection: str, chunk_id: str, tenant: str | None) -> Passage:
        """A passage by its id, for a tenant (None: the server's); its score is 0.

        Raises:
            CollectionNotFound: for a collection that is not served.
            NotFound: when the tenant has no such passage in it.
        """
        self._arguments.check_collection(collection)

        async def look_up() -> Passage | None:
            whose = tenant or self._arguments.tenant
            return await asyncio.to_thread(self._indexes[collection].passage, chunk_id, whose)

        passage = await self._following(collection, look_up)
        if passage is None:
            raise NotFound(
                f"There is no passage '{chunk_id[:40]}' in '{collection}'.",
                "Its document was changed or removed, or is another tenant's: ask again.",
            )
        return passage

    async def is_ready(self) -> bool:
        """Answers when the collections are open and Milvus answers, as it did within the last second.

        Raises:
            Unavailable: when Milvus does not.
        """
        await self._probe.check()
        return True


class DeployedModels:
    """`RetrievalModels` in deployments of their own."""

    def __init__(self, embedder: DeploymentHandle, reranker: DeploymentHandle | None) -> None:
        self._embedder, self._reranker = embedder, reranker

    @property
    def has_cross_encoder(self) -> bool:
        return self._reranker is not None

    async def embed(self, kind: VectorKind, questions: Sequence[str]) -> EmbeddedQuestions:
        embedded: EmbeddedQuestions = await self._embedder.embed_questions.remote(kind, questions)
        return embedded

    async def rerank(self, method: Rerank, question: str, texts: Sequence[str]) -> list[float]:
        if method == "cross-encoder" and self._reranker is not None:
            scores: list[float] = await self._reranker.rerank.remote(question, texts, "reranker")
        else:
            scores = await self._embedder.late_interaction.remote(question, texts)
        return scores
