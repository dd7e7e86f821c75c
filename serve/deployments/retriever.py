"""The retriever deployment: questions in, passages out, by the steps that jobs retrieve by too.

Questions that come together share one batch of the embedder and, where they are searched for in the same way, one
search. The embedder makes the vectors, Milvus finds, the embedder or the reranker orders anew.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from plait.errors import CollectionNotFound, Conflict, InvalidInput, NotFound
from plait.index.collection import Index
from plait.index.passage import Passage
from plait.index.search import Hit, Search, Vectors
from plait.index.stores.connect import connect
from plait.models.vectors import VectorKind
from plait.observability import metrics, tracing
from plait.retrieval.neighbours import expanded
from plait.retrieval.question import MAX_CHARACTERS, Question
from plait.retrieval.request import Retrieval
from plait.retrieval.selection import reranked, selected, text_to_rank
from plait.serve.deployments.probe import Probe
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.calls import Collection, Retrieved
from plait.serve.messages.request_log import log_expected_errors_in_one_line, say
from plait.settings import settings

_T = TypeVar("_T")
_PROBE_TIMEOUT_S = 1.5


@dataclass(frozen=True)
class _Found:
    """Hits, and the index that they are from: a rebuild may put another in its place meanwhile."""

    index: Index
    hits: list[Hit]
    is_cut: bool = False


@dataclass
class _Stages:
    """How long the stages of one retrieval took. `traceparent`: its span, of which they are children."""

    collection: str
    traceparent: str
    timings_ms: dict[str, float] = field(default_factory=dict)


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
        self._arguments, self._embedder, self._reranker = arguments, embedder, reranker
        self._indexes = {name: self._open(name) for name in arguments.collections}
        self._opening = asyncio.Lock()
        store = connect(arguments.milvus_uri)
        self._probe = Probe(lambda: store.check_answers(_PROBE_TIMEOUT_S), "The index does not answer.")
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
        if how.rerank == "cross-encoder" and self._reranker is None:
            raise InvalidInput(
                "This application has no cross-encoder.", "Use rerank: late-interaction or none, or set rerank.model."
            )
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
                stages = _Stages(collection, step.traceparent)
                retrieved = await self._following(collection, lambda: self._retrieve(wanted, how, stages))
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

    async def _retrieve(self, question: Question, how: Retrieval, stages: _Stages) -> Retrieved:
        started = time.perf_counter()
        found = await self._find_together((question.text, how.search(), stages))
        if isinstance(found, Exception):
            raise found
        hits = found.hits
        if how.rerank != "none" and hits:
            with _timed("rerank", stages):
                hits = reranked(hits, await self._scores(how, question.text, hits))
        passages = selected(hits, how)
        if how.expand and passages:
            with _timed("expand", stages):
                around = await asyncio.to_thread(found.index.around, passages, how.expand, how.tenant)
                passages = expanded(passages, around)
        metrics.PASSAGES.labels(collection=stages.collection).observe(len(passages))
        stages.timings_ms["total"] = (time.perf_counter() - started) * 1000
        is_cut = question.is_cut or found.is_cut
        return Retrieved(tuple(passages), stages.collection, how, stages.timings_ms, is_cut=is_cut)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)  # type: ignore[untyped-decorator]  # ray ships no types
    async def _find_together(self, requests: list[tuple[str, Search, _Stages]]) -> list[_Found | Exception]:
        """Hits for each question, or why there are none: the filter of one must not spoil the others' search."""
        indexes = [self._indexes[stages.collection] for _, _, stages in requests]
        alike: dict[tuple[Index, Search], list[int]] = defaultdict(list)
        to_embed: dict[VectorKind, list[int]] = defaultdict(list)
        for i, (index, (_, search, _)) in enumerate(zip(indexes, requests, strict=True)):
            alike[index, search].append(i)
            if search.mode != "bm25":
                to_embed[index.vectors].append(i)
        vectors: dict[int, Vectors] = {}
        cut: set[int] = set()
        for kind, numbers in to_embed.items():  # of one kind, unless a collection was rebuilt with another model
            with _timed("embed", *(requests[i][2] for i in numbers)):
                questions = [requests[i][0] for i in numbers]
                embedded = await self._embedder.embed_questions.remote(kind, questions)
            vectors |= zip(numbers, embedded.vectors, strict=True)
            cut |= {i for i, is_cut in zip(numbers, embedded.are_cut, strict=True) if is_cut}
        found: list[_Found | Exception] = [_Found(index, []) for index in indexes]

        async def find(index: Index, search: Search, numbers: Sequence[int]) -> None:
            of_questions = np.stack([vectors[i] for i in numbers]) if search.mode != "bm25" else None
            texts = [requests[i][0] for i in numbers]
            try:
                with _timed("search", *(requests[i][2] for i in numbers)):
                    hits = await asyncio.to_thread(index.search, search, texts, of_questions)
            except Exception as error:
                for i in numbers:
                    found[i] = error
            else:
                for i, of_question in zip(numbers, hits, strict=True):
                    found[i] = _Found(index, of_question, is_cut=i in cut)

        await asyncio.gather(*(find(*together, numbers) for together, numbers in alike.items()))
        return found

    def _open(self, collection: str) -> Index:
        return Index.open(collection, uri=self._arguments.milvus_uri)

    async def _following(self, collection: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """An answer from an index, asked for again when a rebuild has put another in its place."""
        index = self._indexes[collection]
        try:
            return await ask()
        except CollectionNotFound:
            async with self._opening:
                if self._indexes[collection] is index:  # else another question came here before
                    self._indexes[collection] = await asyncio.to_thread(self._open, collection)
            return await ask()

    async def _scores(self, how: Retrieval, question: str, hits: Sequence[Hit]) -> list[float]:
        texts = [text_to_rank(hit) for hit in hits]
        if how.rerank == "cross-encoder" and self._reranker is not None:
            scores: list[float] = await self._reranker.rerank.remote(question, texts, "reranker")
        else:
            scores = await self._embedder.late_interaction.remote(question, texts)
        return scores

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


@contextmanager
def _timed(stage: str, *retrievals: _Stages) -> Iterator[None]:
    """A stage that several retrievals may go through at once: each of them took its time."""
    started = time.perf_counter()
    yield
    took_s = time.perf_counter() - started
    for stages in retrievals:
        stages.timings_ms[stage] = took_s * 1000
        metrics.RETRIEVAL_SECONDS.labels(collection=stages.collection, stage=stage).observe(took_s)
        tracing.add_finished(stage, stages.traceparent, took_s)
