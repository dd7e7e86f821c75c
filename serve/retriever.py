"""The retriever deployment: questions in, passages out; questions that come together are embedded together."""

import asyncio

from ray import serve

from plait.index.collection import Index
from plait.models.embedding import EmbeddingModel
from plait.retrieval.passage import Passage
from plait.retrieval.retriever import Retriever as DenseRetriever
from plait.serve.arguments import RetrievalArguments


class Retriever:
    """Dense retrieval from one collection, with the embedding model that made it."""

    def __init__(self, arguments: RetrievalArguments) -> None:
        index = Index.open(arguments.collection, uri=arguments.milvus_uri)
        self._retriever = DenseRetriever(index, EmbeddingModel(index.embedding_model))

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
        return await asyncio.to_thread(self._retriever.retrieve, questions, most)

    async def is_ready(self) -> bool:
        """Answers when the embedding model is loaded and the collection is open."""
        return True
