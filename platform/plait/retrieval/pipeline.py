"""From questions to passages: embed, search, rerank, select, expand. Serving and jobs retrieve by this one pipeline.

In: questions, each with an open index and how to retrieve. Out: for each its passages, best first. It asks models
through the port `RetrievalModels`; it knows neither where they run, nor prompts, nor who asks.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from plait.errors import InvalidInput
from plait.index.passage import Passage
from plait.index.search import Hit, Search
from plait.models.vectors import VectorKind, Vectors
from plait.observability import metrics, tracing
from plait.recipes import Rerank
from plait.retrieval.neighbours import expanded
from plait.retrieval.question import EmbeddedQuestions, Question
from plait.retrieval.request import Retrieval
from plait.retrieval.selection import merged, reranked, selected, text_to_rank


class RetrievalModels(Protocol):
    """The models that retrieval asks, wherever they run."""

    @property
    def has_cross_encoder(self) -> bool:
        """`rerank: cross-encoder` can be asked for."""

    async def embed(self, kind: VectorKind, questions: Sequence[str]) -> EmbeddedQuestions:
        """Vectors of questions, comparable with those of an index.

        Raises:
            Conflict: when the model makes vectors of another kind.
        """

    async def rerank(self, method: Rerank, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question, higher is better; `method` is not none.

        Raises:
            InvalidInput: when the embedding model gives no vectors of tokens, for late interaction.
        """


class SearchedIndex(Protocol):
    """What retrieval asks of an open index; `Index` says what the arguments mean and what is raised."""

    @property
    def name(self) -> str: ...
    @property
    def vectors(self) -> VectorKind: ...
    def search(self, how: Search, texts: Sequence[str], vectors: Vectors | None) -> list[list[Hit]]: ...
    def around(self, passages: Sequence[Passage], reach: int, tenant: str) -> Mapping[str, Sequence[Passage]]: ...


@dataclass(eq=False)
class Query:
    """A question, where and how to retrieve for it, and how long each stage took.

    `traceparent`: the span whose children the stages are; empty: none.

    Raises:
        InvalidInput: when the filter is not valid.
    """

    index: SearchedIndex
    question: Question
    how: Retrieval
    traceparent: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)
    search: Search = field(init=False)

    def __post_init__(self) -> None:
        self.search = self.how.search()


@dataclass(frozen=True)
class Found:
    """The hits for a query, best first. `is_cut`: the embedding model read only both ends of the question."""

    hits: list[Hit]
    is_cut: bool = False


class RetrievalPipeline:
    """Retrieves with some models. `find` and `choose` are the two halves, for callers that batch the first one."""

    def __init__(self, models: RetrievalModels) -> None:
        self._models = models

    def check(self, how: Retrieval) -> None:
        """Check that the models can do what is asked for.

        Raises:
            InvalidInput: when a cross-encoder is asked for, and there is none.
        """
        if how.rerank == "cross-encoder" and not self._models.has_cross_encoder:
            raise InvalidInput(
                "There is no cross-encoder here.",
                "Use rerank: late-interaction or none, or let the server have one: rerank.model.",
            )

    async def retrieve(self, index: SearchedIndex, questions: Sequence[str], how: Retrieval) -> list[list[Passage]]:
        """The passages for each question, best first; none for a question without a word.

        Raises:
            InvalidInput: for a filter that is none, or a reranking that the models cannot do.
            Conflict: when the index was made with another embedding model.
            Unavailable: when Milvus does not answer.
        """
        self.check(how)
        wanted = [Question.of(question) for question in questions]
        queries = [Query(index, question, how) for question in wanted if question is not None]
        results = iter(zip(queries, await self.find(queries), strict=True))
        passages: list[list[Passage]] = []
        for question in wanted:
            if question is None:
                passages.append([])
                continue
            query, found = next(results)
            if isinstance(found, Exception):
                raise found
            passages.append(await self.choose([query], [found]))
        return passages

    async def find(self, queries: Sequence[Query]) -> list[Found | Exception]:
        """Embed and search: one batch of vectors for each kind, one search for all that search alike.

        Returns the error of a search in the place of its hits: the filter of one query must not spoil the others.

        Raises:
            Conflict: when an index was made with another embedding model.
        """
        alike: dict[tuple[SearchedIndex, Search], list[int]] = defaultdict(list)
        to_embed: dict[VectorKind, list[int]] = defaultdict(list)
        for i, query in enumerate(queries):
            alike[query.index, query.search].append(i)
            if query.search.mode != "bm25":
                to_embed[query.index.vectors].append(i)
        vectors: dict[int, Vectors] = {}
        cut: set[int] = set()
        for kind, numbers in to_embed.items():  # of one kind, unless a collection was rebuilt with another model
            with _timed("embed", *(queries[i] for i in numbers)):
                embedded = await self._models.embed(kind, [queries[i].question.text for i in numbers])
            vectors |= zip(numbers, embedded.vectors, strict=True)
            cut |= {i for i, is_cut in zip(numbers, embedded.are_cut, strict=True) if is_cut}
        found: list[Found | Exception] = [Found([]) for _ in queries]

        async def search_together(index: SearchedIndex, search: Search, numbers: Sequence[int]) -> None:
            of_questions = np.stack([vectors[i] for i in numbers]) if search.mode != "bm25" else None
            texts = [queries[i].question.text for i in numbers]
            try:
                with _timed("search", *(queries[i] for i in numbers)):
                    hits = await asyncio.to_thread(index.search, search, texts, of_questions)
            except Exception as error:
                for i in numbers:
                    found[i] = error
            else:
                for i, of_question in zip(numbers, hits, strict=True):
                    found[i] = Found(of_question, is_cut=i in cut)

        await asyncio.gather(*(search_together(*together, numbers) for together, numbers in alike.items()))
        return found

    async def choose(self, queries: Sequence[Query], found: Sequence[Found]) -> list[Passage]:
        """The passages to give for one question: merge, rerank, select, expand. Raises what `retrieve` does.

        Args:
            queries: of the question, one for each index that it was searched for in.
            found: by each.
        """
        asked, how = queries[0].question.text, queries[0].how
        hits = merged([of_one.hits for of_one in found])[: queries[0].search.top_k]
        if how.rerank != "none" and hits:
            with _timed("rerank", *queries):
                texts = [text_to_rank(hit) for hit in hits]
                hits = reranked(hits, await self._models.rerank(how.rerank, asked, texts))
        passages = selected(hits, how)
        if how.expand and passages:
            with _timed("expand", *queries):
                around: dict[str, Sequence[Passage]] = {}
                for query in queries:
                    own = _of(query.index, passages, queries)
                    around |= await asyncio.to_thread(query.index.around, own, how.expand, how.tenant)
                passages = expanded(passages, around)
        for query in queries:
            label = metrics.collection_label(query.index.name)
            metrics.PASSAGES.labels(collection=label).observe(len(_of(query.index, passages, queries)))
        return passages


def _of(index: SearchedIndex, passages: Sequence[Passage], queries: Sequence[Query]) -> Sequence[Passage]:
    """The passages that are of an index."""
    return passages if len(queries) == 1 else [passage for passage in passages if passage.collection == index.name]


@contextmanager
def _timed(stage: str, *queries: Query) -> Iterator[None]:
    """Times a stage that several queries may go through at once: it took each of them all of its time."""
    started = time.perf_counter()
    yield
    took_s = time.perf_counter() - started
    for query in queries:
        query.timings_ms[stage] = took_s * 1000
        metrics.RETRIEVAL_SECONDS.labels(collection=metrics.collection_label(query.index.name), stage=stage).observe(
            took_s
        )
        if query.traceparent:
            tracing.add_finished(stage, query.traceparent, took_s)
