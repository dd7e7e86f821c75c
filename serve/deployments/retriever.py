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

from plait.documents.uploads import made_collections
from plait.errors import CollectionNotFound, Conflict, NotFound
from plait.evaluation.live.answer import LivePassage
from plait.index.collection import Index
from plait.index.passage import Passage
from plait.index.stores.connect import connect_store
from plait.lineage.collections import collection_lineage, searched_lineage
from plait.lineage.node import LineageNode
from plait.models.vectors import VectorKind
from plait.observability import tracing
from plait.recipes import Rerank
from plait.retrieval.pipeline import Found, Query, RetrievalPipeline
from plait.retrieval.question import MAX_CHARACTERS, EmbeddedQuestions, Question
from plait.retrieval.request import Retrieval
from plait.serve.deployments.index_states import IndexStates
from plait.serve.deployments.probe import Probe
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.calls import Collection, Retrieved
from plait.serve.messages.request_log import log_expected_errors_in_one_line, say
from plait.serve.messages.served_collections import ServedCollections
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
        self._embedder = embedder
        self._indexes = {name: Index.open(name, self._store) for name in arguments.collections}
        self._states = IndexStates()
        self._opening = asyncio.Lock()
        self._probe = Probe(lambda: self._store.check_answers(_PROBE_TIMEOUT_S), "The index does not answer.")
        for index in self._indexes.values():
            await self._check_model(
                index, "Leave embedding.model out: the first collection's is served then, and all must be of it."
            )

    @property
    def _served(self) -> ServedCollections:
        return ServedCollections(self._arguments.collections)

    async def _check_model(self, index: Index, remedy: str) -> None:
        source = await self._embedder.model_source.remote()
        if source != index.embedding_model:
            raise Conflict(
                f"Collection '{index.name}' was made with '{index.embedding_model}', not with '{source}'.", remedy
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
        if not how.named:
            how = how.model_copy(update={"collection": self._arguments.collection})
        names = how.named
        for name in names:
            self._served.check(name)
        self._pipeline.check(how)
        for name in names:
            made_collections.touch(name)
        searched = ", ".join(names)
        about: dict[str, str | int] = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": searched,
            "plait.tenant": how.tenant,
            "plait.retrieval.mode": how.mode,
            "plait.retrieval.rerank": how.rerank,
            "gen_ai.request.top_k": how.top_k,
        }
        if settings().log_content:
            about["gen_ai.retrieval.query.text"] = question[:MAX_CHARACTERS]
        with tracing.span(f"retrieval {searched}", traceparent, about) as step:
            if wanted is None:
                retrieved = Retrieved((), names, how, {"total": 0.0})
            else:
                retrieved = await self._following(lambda: self._retrieve(wanted, how, step.traceparent), *names)
            step.span.set_attribute("plait.retrieval.passages", len(retrieved.passages))
        say(
            "retrieval",
            at="retriever",
            trace_id=tracing.trace_id(step.traceparent),
            tenant=how.tenant,
            collection=searched,
            mode=how.mode,
            rerank=how.rerank,
            passages=len(retrieved.passages),
            timings_ms={stage: round(value, 1) for stage, value in retrieved.timings_ms.items()},
        )
        return retrieved

    async def _retrieve(self, question: Question, how: Retrieval, traceparent: str) -> Retrieved:
        started = time.perf_counter()
        indexes = [self._indexes[name] for name in how.named]
        queries = [Query(index, question, how, traceparent) for index in indexes]
        found = await asyncio.gather(*map(self._found, queries))
        passages = await self._pipeline.choose(queries, found)
        timings_ms: dict[str, float] = {}
        for stage, took_ms in (timing for query in queries for timing in query.timings_ms.items()):
            timings_ms[stage] = max(took_ms, timings_ms.get(stage, 0.0))  # they were searched side by side
        timings_ms["total"] = (time.perf_counter() - started) * 1000
        is_cut = question.is_cut or any(of_one.is_cut for of_one in found)
        return Retrieved(
            tuple(passages),
            how.named,
            how,
            timings_ms,
            is_cut=is_cut,
            generations=self._states.generations(indexes),
            in_step_at=self._states.in_step_at(indexes),
        )

    async def _found(self, query: Query) -> Found:
        found: Found | Exception = await self._find_together(query)
        if isinstance(found, Exception):
            raise found
        return found

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)  # type: ignore[untyped-decorator]  # ray ships no types
    async def _find_together(self, queries: list[Query]) -> list[Found | Exception]:
        return await self._pipeline.find(queries)

    async def _following(self, ask: Callable[[], Awaitable[_T]], *collections: str) -> _T:
        """An answer from indexes, asked for again when a rebuild has put another in the place of one."""
        indexes = {name: await self._opened(name) for name in collections}
        try:
            return await ask()
        except CollectionNotFound:
            async with self._opening:
                for name, index in indexes.items():
                    if self._indexes[name] is index:  # else another question came here before
                        self._indexes[name] = await asyncio.to_thread(Index.open, name, self._store)
            return await ask()

    async def _opened(self, collection: str) -> Index:
        """The index of a collection; that of one which clients made is opened when it is first asked for."""
        if collection not in self._indexes:
            async with self._opening:
                if collection not in self._indexes:
                    index = await asyncio.to_thread(Index.open, collection, self._store)
                    await self._check_model(index, "Make another collection, and attach the files to that.")
                    self._indexes[collection] = index
        return self._indexes[collection]

    async def collection(self, name: str, tenant: str | None) -> Collection:
        """What is searched under a name for a tenant (None: the server's). Reads the names of its documents.

        Raises:
            CollectionNotFound: for a collection that is not served.
        """
        self._served.check(name)

        async def describe() -> Collection:
            index, whose = self._indexes[name], tenant or self._arguments.tenant
            documents = await asyncio.to_thread(index.document_states, whose)
            return Collection(index.name, index.embedding_model, index.dimension, len(documents), whose)

        return await self._following(describe, name)

    async def passage(self, collection: str, chunk_id: str, tenant: str | None) -> Passage:
        """A passage by its id, for a tenant (None: the server's); its score is 0.

        Raises:
            CollectionNotFound: for a collection that is not served.
            NotFound: when the tenant has no such passage in it.
        """
        self._served.check(collection)

        async def look_up() -> Passage | None:
            whose = tenant or self._arguments.tenant
            return await asyncio.to_thread(self._indexes[collection].passage, chunk_id, whose)

        passage = await self._following(look_up, collection)
        if passage is None:
            raise NotFound(
                f"There is no passage '{chunk_id[:40]}' in '{collection}'.",
                "Its document was changed or removed, or is another tenant's: ask again.",
            )
        return passage

    async def document(self, collection: str, source: str, tenant: str | None) -> list[Passage]:
        """The chunks of a document, in its order, for a tenant (None: the server's); none where it has no such one.

        Raises:
            CollectionNotFound: for a collection that is not served.
        """
        self._served.check(collection)

        async def read() -> list[Passage]:
            whose = tenant or self._arguments.tenant
            return await asyncio.to_thread(self._indexes[collection].document, whose, source)

        return await self._following(read, collection)

    async def lineage(self, collection: str, tenant: str | None, documents: int) -> LineageNode:
        """What a collection holds of a tenant (None: the server's); at most so many documents are named.

        Raises:
            CollectionNotFound: when there is none.
        """
        whose = tenant or self._arguments.tenant
        return await asyncio.to_thread(collection_lineage, self._store, collection, [whose], documents)

    async def searched_lineage(
        self, collection: str, generation: int | None, tenant: str, passages: Sequence[LivePassage]
    ) -> LineageNode:
        """What passages of an answer are from."""
        return await asyncio.to_thread(searched_lineage, self._store, collection, generation, tenant, passages)

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
