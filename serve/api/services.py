"""What the routes of one API replica ask: the other deployments, and the server's limits.

In: calls and texts, and who asks. Out: events, vectors, scores. A route gets it by `Depends(services)`; tests put
another in its place. What a caller may not use is refused here, whichever route it came by.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from fastapi import Depends
from ray import serve
from ray.serve.handle import DeploymentHandle

from plait.errors import (
    CollectionNotFound,
    Forbidden,
    ModelNotFound,
    NotFound,
    Unavailable,
    find_plait_error,
)
from plait.evaluation.live.answer import Rating
from plait.index.passage import Passage
from plait.model_ids import AUTO, ModelId
from plait.models.long_texts import LongTexts
from plait.retrieval.request import Retrieval
from plait.scope import Scope
from plait.serve.api.answer import Answer
from plait.serve.api.auto import Asking, AutoRoute, AutoRouter
from plait.serve.api.caller import Caller, caller
from plait.serve.api.grounding import answer_from
from plait.serve.api.reviews import Reviews
from plait.serve.api.router import Router
from plait.serve.api.shadows import Shadows
from plait.serve.messages.arguments import AppArguments, RetrievalArguments
from plait.serve.messages.calls import Call, Collection, Event, Retrieved, TokenizerInfo, Tokens
from plait.serve.messages.embeddings import Embedded, Input, InputType
from plait.serve.messages.protocol import ModelCard
from plait.serve.messages.served_collections import ServedCollections


@dataclass(frozen=True)
class Deployments:
    """What is behind the API, and what it was built with; all but the LLM are None where the application has none.

    `reviews`, `shadows`: where answers go after they were given. `runner`: looks after what clients order. `auto`: what
    `auto` is routed by.
    """

    llm: DeploymentHandle
    retriever: DeploymentHandle | None = None
    embedder: DeploymentHandle | None = None
    reranker: DeploymentHandle | None = None
    indexer: DeploymentHandle | None = None
    arguments: AppArguments = field(default_factory=AppArguments)
    reviews: Reviews | None = None
    runner: DeploymentHandle | None = None
    auto: AutoRouter | None = None
    shadows: Shadows | None = None

    async def check_ready(self, timeout_s: float) -> None:
        """Ask everything behind the API at once; returns when all of it answers.

        Raises:
            Unavailable: with what did not answer in time.
            Exception: what the first to refuse says.
        """
        parts = {"LLM": self.llm, "retriever": self.retriever, "embedder": self.embedder}
        parts |= {"reranker": self.reranker, "indexer": self.indexer, "job runner": self.runner}
        answers = {asyncio.create_task(_is_ready(part)): name for name, part in parts.items() if part is not None}
        try:
            done, waiting = await asyncio.wait(answers, timeout=timeout_s, return_when=asyncio.FIRST_EXCEPTION)
            for answer in done:
                answer.result()
        finally:
            for answer in answers:
                answer.cancel()
        if waiting:
            names = ", ".join(sorted(answers[answer] for answer in waiting))
            raise Unavailable(f"Not there yet: {names}.", "Try again in a moment.")


class Services:
    """The deployments, as one caller may use them. What is said of collections raises besides:

    Raises:
        NotFound: for a collection that is not served.
        Forbidden: for one that is not for this caller.
    """

    _reviews: Reviews | None = None
    _auto: AutoRouter | None = None
    _shadows: Shadows | None = None

    def __init__(self, deployments: Deployments, caller: Caller) -> None:
        self._llm, self._retriever, self._embedder = deployments.llm, deployments.retriever, deployments.embedder
        self._reranker = deployments.reranker
        self.arguments = deployments.arguments
        self._caller = caller
        self._reviews, self._auto = deployments.reviews, deployments.auto
        self._shadows = deployments.shadows

    def review(self, answer: Answer) -> None:
        """Have an answer that was given whole judged, kept and shadowed, as far as this server does; nobody waits."""
        if self._reviews is not None:
            self._reviews.offer(answer, self._caller.owner)
        if self._shadows is not None:
            self._shadows.offer(answer, self._caller.owner, self._caller.tenant or "")

    async def rate(self, request_id: str, rating: Rating) -> None:
        """Keep what a person says of an answer.

        Raises:
            NotFound: when this server keeps no answers, or none of this caller's to such a request.
            Overloaded: when too much waits to be kept.
        """
        if self._reviews is None or self.arguments.answers.keep == "none":
            raise NotFound("This server keeps no answers, so none can be rated.", "Let it keep them: set answers.keep.")
        await self._reviews.rate(request_id, None if self._caller.may(Scope.ADMIN) else self._caller.owner, rating)

    def answers(self, choices: Sequence[Call]) -> list[AsyncGenerator[Event]]:
        """The events of each choice of a call, which differ by their sampling; closing one cancels it.

        Passages are retrieved once for all of them.

        Raises:
            Forbidden: for an adapter, a collection or a tenant that is not for this caller.
            ModelNotFound: for `auto` where there is no routing.
        """
        if choices[0].model.is_auto:
            return self._routed(choices)
        router = Router(self._retriever, self.arguments.retrieval)
        return [self._answer(call, router) for call in choices]

    def _routed(self, choices: Sequence[Call]) -> list[AsyncGenerator[Event]]:
        """The events of each choice of a call for `auto`; each arm retrieves once for all that it answers."""
        if self._auto is None:
            raise ModelNotFound(
                "'auto' has no routing policy here.", "Ask for base, an adapter, or rag/ before either; or set routing."
            )
        named = choices[0].retrieval
        if named is not None:
            self._caller.bound(named)  # what it names itself must be for this caller, whichever arm answers
        routers = defaultdict[ModelId, Router](lambda: Router(self._retriever, self.arguments.retrieval))
        asking = Asking(
            may_use=lambda model: self._may_ask(model, named),
            ask=lambda call: self._answer(call, routers[call.model]),
            collection=self._searched(named),
            key=self._caller.key.name if self._caller.key else "",
        )
        route = AutoRoute(self._auto, asking)
        return [route.answer(call) for call in choices]

    def _searched(self, named: Retrieval | None) -> str:
        """What would be searched for this caller; empty where nothing can be."""
        retrieval = self.arguments.retrieval
        if self._retriever is None or retrieval is None:
            return ""
        try:
            bound = self._caller.bound(named or Retrieval())
        except (Forbidden, NotFound):
            return ""
        return ", ".join(bound.named) or retrieval.collection

    def _may_ask(self, model: ModelId, named: Retrieval | None) -> bool:
        return self._may_use(model) and not (model.with_retrieval and not self._searched(named))

    def _answer(self, call: Call, router: Router) -> AsyncGenerator[Event]:
        if not self._may_use(call.model):
            raise Forbidden(f"This key may not use '{call.model}'.", "GET /v1/models lists what it may use.")
        call = replace(call, cache_salt=self._caller.tenant or "")
        if not call.model.with_retrieval:
            return self._generated(call)
        return self._grounded(replace(call, retrieval=self._caller.bound(call.retrieval or Retrieval())), router)

    async def _grounded(self, call: Call, router: Router) -> AsyncGenerator[Event]:
        call, retrieved = await router.prepare(call)
        async with aclosing(answer_from(retrieved, call, self._generated(call))) as events:
            async for event in events:
                yield event

    async def _generated(self, call: Call) -> AsyncGenerator[Event]:
        # Straight from the LLM, and by gRPC: a deployment on the way, or Ray's objects, would cost each piece time.
        response = self._llm.options(stream=True, _by_reference=False).generate.remote(call)
        is_over = False
        try:
            async for event in response:
                is_over = event.finish_reason is not None
                yield event
        finally:
            if not is_over:
                response.cancel()

    async def retrieve(self, question: str, options: Retrieval, traceparent: str) -> Retrieved:
        """The passages for a question; `traceparent`: the span that asks.

        Raises:
            NotFound: when nothing is indexed here.
            Forbidden: for a collection or a tenant that is not for this caller.
            InvalidInput: for a filter that is none, or a reranking that this application cannot do.
        """
        bound = self._caller.bound(options)
        retrieved: Retrieved = await self._there_is_retrieval()[0].retrieve.remote(question, bound, traceparent)
        return retrieved

    async def passage(self, collection: str, chunk_id: str, tenant: str | None) -> Passage:
        """A passage that was cited; `tenant`: whose, where it is not the key's or the server's.

        Raises:
            NotFound: when there is none in this collection for this tenant.
            Forbidden: for a collection or a tenant that is not for this caller.
        """
        where = self._caller.bound(Retrieval(collection=collection, **({} if tenant is None else {"tenant": tenant})))
        of = where.tenant if "tenant" in where.model_fields_set else None
        passage: Passage = await self._there_is_retrieval()[0].passage.remote(collection, chunk_id, of)
        return passage

    async def collections(self) -> list[Collection]:
        """The collections that are served and that this caller may use.

        Raises:
            NotFound: when nothing is indexed here.
        """
        retriever, retrieval = self._there_is_retrieval()
        names = filter(self._caller.may_use_collection, ServedCollections(retrieval.collections).names())
        asked = (_if_there(retriever.collection.remote(name, self._caller.tenant)) for name in names)
        return [collection for collection in await asyncio.gather(*asked) if collection is not None]

    async def collection(self, name: str) -> Collection:
        """One of the collections that are served.

        Raises:
            NotFound: when it is not, or nothing is indexed here.
            Forbidden: when it is not for this caller.
        """
        self._caller.check_collection(name)
        retriever, _ = self._there_is_retrieval()
        collection: Collection = await retriever.collection.remote(name, self._caller.tenant)
        return collection

    async def check_collection(self, name: str) -> None:
        """Whether a collection is served.

        Raises:
            NotFound: when it is not, or nothing is indexed here.
            Forbidden: when it is not for this caller.
        """
        self._caller.check_collection(name)
        _, retrieval = self._there_is_retrieval()
        ServedCollections(retrieval.collections).check(name)

    async def models(self) -> list[ModelCard]:
        """Every model id that this caller may use: for text, for embeddings, for reranking."""
        cards: list[ModelCard] = await self._llm.models.remote()
        if self._retriever is not None:
            cards = cards + [card.model_copy(update={"id": f"rag/{card.id}", "parent": card.id}) for card in cards]
        cards = [card for card in cards if self._may_use(ModelId.parse(card.id))]
        if self._auto is not None:
            how = self._auto.how
            cards.append(ModelCard(id=AUTO, created=0, root=how.policy or how.rules or ""))
        if self._embedder is not None:
            cards.append(ModelCard(id="embedding", created=0, root=await self._embedder.model_source.remote()))
        if self._reranker is not None:
            cards.append(ModelCard(id="reranker", created=0, root=await self._reranker.model_source.remote()))
        return cards

    async def embed(
        self, inputs: Sequence[Input], input_type: InputType, model: str, long_texts: LongTexts
    ) -> Embedded:
        """Vectors of texts.

        Raises:
            NotFound: when the application has no embedding model.
            ModelNotFound: for another model.
            InvalidField: for a text that is too long, and for tokens that are not the model's.
        """
        embedder = self._there(self._embedder, "embedding")
        result: Embedded = await embedder.embed.remote(list(inputs), input_type, model, long_texts)
        return result

    async def rerank(self, query: str, documents: Sequence[str], model: str) -> list[float]:
        """How well each document answers the query; higher is better.

        Raises:
            NotFound: when the application has neither a reranker nor an embedding model.
            ModelNotFound: for another model.
        """
        ranker = self._there(self._reranker or self._embedder, "reranker")
        scores: list[float] = await ranker.rerank.remote(query, list(documents), model)
        return scores

    async def count_scored_tokens(self, texts: Sequence[str]) -> int:
        """Tokens that the reranker reads of all texts together; one that comes again is counted once, and added again.

        Raises:
            NotFound: when the application has neither a reranker nor an embedding model.
        """
        ranker = self._there(self._reranker or self._embedder, "reranker")
        times = Counter(texts)
        tokens: list[int] = await ranker.count_tokens.remote(list(times))
        return sum(count * of_text for count, of_text in zip(times.values(), tokens, strict=True))

    async def check_uncut(self, documents: Sequence[str], limit_tokens: int) -> None:
        """Whether the reranker reads all of each document although no more than a limit may be read.

        Raises:
            NotFound: when the application has neither a reranker nor an embedding model.
            InvalidInput: when a document is longer than the limit.
        """
        # A token is a byte at least, and a character four at most: most requests need not be counted.
        if 4 * max(map(len, documents)) + 2 > limit_tokens:
            ranker = self._there(self._reranker or self._embedder, "reranker")
            await ranker.check_uncut.remote(list(documents), limit_tokens)

    async def tokenize(self, call: Call, add_special_tokens: bool) -> Tokens:
        """The tokens of a prompt or a conversation."""
        tokens: Tokens = await self._llm.tokenize.remote(call, add_special_tokens)
        return tokens

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        text: str = await self._llm.detokenize.remote(list(tokens))
        return text

    async def tokenizer_info(self) -> TokenizerInfo:
        """What the base model's tokenizer is."""
        info: TokenizerInfo = await self._llm.tokenizer_info.remote()
        return info

    def _may_use(self, model: ModelId) -> bool:
        return model.adapter is None or self._caller.may_use_adapter(model.adapter.name)

    def _there_is_retrieval(self) -> tuple[DeploymentHandle, RetrievalArguments]:
        retrieval = self.arguments.retrieval
        if self._retriever is None or retrieval is None:
            raise NotFound("This application serves without retrieval.", "Serve a collection: retrieval.collection.")
        return self._retriever, retrieval

    @staticmethod
    def _there(handle: DeploymentHandle | None, what: str) -> Any:
        if handle is None:
            raise NotFound(f"This application has no {what} model.", f"Serve one: set {what}.model.")
        return handle


async def _if_there(collection: Awaitable[Collection]) -> Collection | None:
    """None for one that was deleted this very moment, or whose index is gone."""
    try:
        return await collection
    except Exception as error:
        if isinstance(find_plait_error(error), CollectionNotFound):
            return None
        raise


async def _is_ready(part: DeploymentHandle) -> None:
    await part.is_ready.remote()


async def deployments() -> Deployments:
    """Those of the application that this replica is of."""
    found: Deployments = serve.get_replica_context().servable_object.deployments
    return found


async def services(
    there: Annotated[Deployments, Depends(deployments)], asking: Annotated[Caller, Depends(caller)]
) -> Services:
    """The deployments, as who asks may use them."""
    return Services(there, asking)
