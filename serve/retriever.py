"""The retriever deployment: questions in, passages out. The embedder makes the vectors, Milvus finds what is near."""

import asyncio

from ray import serve
from ray.serve.handle import DeploymentHandle

from plait.errors import Conflict
from plait.index.collection import Index
from plait.index.search import Search
from plait.observability import metrics
from plait.retrieval.passage import Passage
from plait.serve.arguments import RetrievalArguments
from plait.serve.request_log import log_expected_errors_in_one_line


class Retriever:
    """Dense retrieval from one collection, with the embedding model that made it.

    Raises:
        Conflict: when the embedder has another model.
    """

    # Serve awaits it: a replica that has no questions to ask must not get any.
    async def __init__(self, arguments: RetrievalArguments, embedder: DeploymentHandle) -> None:  # type: ignore[misc]
        log_expected_errors_in_one_line()
        self._embedder = embedder
        self._index = Index.open(arguments.collection, uri=arguments.milvus_uri)
        source = await embedder.model_source.remote()
        if source != self._index.embedding_model:
            raise Conflict(
                f"Collection '{self._index.name}' was made with '{self._index.embedding_model}', not with '{source}'.",
                "Leave embedding.model out: the collection's is served then.",
            )

    async def retrieve(self, question: str, top_k: int) -> list[Passage]:
        """The passages nearest to a question, best first.

        Raises:
            Unavailable: when Milvus does not answer.
        """
        passages: list[Passage] = await self._retrieve_together((question, top_k))
        return passages[:top_k]

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)  # type: ignore[untyped-decorator]  # ray ships no types
    async def _retrieve_together(self, asked: list[tuple[str, int]]) -> list[list[Passage]]:
        questions = [question for question, _ in asked]
        most = max(top_k for _, top_k in asked)
        with metrics.RETRIEVAL_SECONDS.labels(collection=self._index.name, stage="embed").time():
            vectors = await self._embedder.embed_queries.remote(questions)
        with metrics.RETRIEVAL_SECONDS.labels(collection=self._index.name, stage="search").time():
            hits = await asyncio.to_thread(self._index.search, Search(most), vectors=vectors)
        found = [[hit.passage for hit in of_one] for of_one in hits]
        for passages in found:
            metrics.PASSAGES.labels(collection=self._index.name).observe(len(passages))
        return found

    async def is_ready(self) -> bool:
        """Answers when the collection is open."""
        return True
