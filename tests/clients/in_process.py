"""The deployments behind the API in one process, without Ray: each is asked as Ray Serve's handles ask it.

Ray Serve joins requests to batches inside a replica alone. Here each is a batch of its own.
"""

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.models.vectors import Vectors
from plait.retrieval.pipeline import Found, Query
from plait.serve.api.services import Deployments
from plait.serve.deployments.embedder import Embedder
from plait.serve.deployments.indexer import Indexer
from plait.serve.deployments.llm import LLM
from plait.serve.deployments.retriever import Retriever
from plait.serve.messages.arguments import AppArguments, RetrievalArguments
from plait.serve.messages.embeddings import InputType


class Handle:
    """Calls a deployment of this process: a plain method in a thread, as Ray Serve does."""

    def __init__(self, deployment: Any) -> None:
        self._deployment = deployment

    def options(self, **_: Any) -> "Handle":
        return self

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._deployment, name)

        class Method:
            def remote(self, *arguments: Any) -> Any:
                if inspect.isasyncgenfunction(method):
                    return Events(method(*arguments))
                if inspect.iscoroutinefunction(method):
                    return method(*arguments)
                return asyncio.to_thread(method, *arguments)

        return Method()


class Events:
    """A stream of a deployment's answer."""

    def __init__(self, events: Any) -> None:
        self._events = events

    def __aiter__(self) -> Any:
        return self._events

    def cancel(self) -> None:
        """The events end with the task that reads them."""


class EmbedderAlone(Embedder):
    async def _embed_together(self, asked: tuple[Sequence[str], InputType]) -> Vectors:  # type: ignore[override]
        texts, input_type = asked
        encode = self._model.encode_queries if input_type == "query" else self._model.encode_passages
        return await asyncio.to_thread(encode, texts)

    def make_collection(self, name: str) -> None:
        """Make an empty collection for the vectors of this model, unless there is one."""
        model = self._model
        Index.open_or_create(
            name, connect_store(), embedding_model=model.name, dimension=model.dimension, prompts=model.prompts
        )


class RetrieverAlone(Retriever):
    async def _find_together(self, query: Query) -> Found | Exception:  # type: ignore[override]
        (found,) = await self._pipeline.find([query])
        return found


async def deployed(arguments: AppArguments, retrieval: RetrievalArguments) -> Deployments:
    """All deployments of an application but a reranker, over a collection that is made where it is missing."""
    llm = await _made(LLM, arguments.llm, retrieval.budget_tokens)
    embedder = EmbedderAlone(arguments.embedding, None)
    await asyncio.to_thread(embedder.make_collection, retrieval.collection)
    handle: Any = Handle(embedder)
    return Deployments(
        llm=_handle(llm),
        retriever=_handle(await _made(RetrieverAlone, retrieval, handle, None)),
        embedder=handle,
        indexer=_handle(await _made(Indexer, retrieval, handle)),
        arguments=arguments,
    )


async def _made(kind: Any, *arguments: Any) -> Any:
    """Ray Serve awaits these constructors."""
    made = kind.__new__(kind)
    await made.__init__(*arguments)
    return made


def _handle(deployment: Any) -> Any:
    return Handle(deployment)
