"""/v1/lineage: what an answer, an adapter or a collection was made from, for keys that may use it.

In: an id. Out: a tree for each thing that it names. It looks nothing up itself: the reviewer has the answers, the LLM
the registry, the retriever the index.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from plait.errors import Forbidden, InvalidInput, NotFound, find_plait_error
from plait.evaluation.live.answer import KeptAnswer, LivePassage
from plait.lineage.answers import answer_lineage, is_refusal, passages_by_collection
from plait.lineage.node import LineageNode, nothing_of
from plait.model_ids import AdapterRef
from plait.retrieval.request import Retrieval
from plait.scope import Scope
from plait.serve.api.caller import Caller, caller
from plait.serve.api.errors import without_folders
from plait.serve.api.openapi import errors
from plait.serve.api.services import Deployments, deployments
from plait.serve.messages.served_collections import ServedCollections
from plait.tenants import MAX_TENANT_CHARACTERS

routes = APIRouter(tags=["lineage"])
_MOST_DOCUMENTS = 1000


class Lineage(BaseModel):
    """What an id names: at most an answer, an adapter and a collection. `note` of a node says what is gone."""

    object: Literal["lineage"] = "lineage"
    id: str
    data: list[LineageNode]


@routes.get("/v1/lineage/{id}", responses=errors(404, 503))
async def lineage(
    id: Annotated[str, Path(max_length=600, description="The X-Request-Id of an answer, an adapter, a collection.")],
    there: Annotated[Deployments, Depends(deployments)],
    asking: Annotated[Caller, Depends(caller)],
    tenant: Annotated[str | None, Query(min_length=1, max_length=MAX_TENANT_CHARACTERS)] = None,
    documents: Annotated[int, Query(ge=0, le=_MOST_DOCUMENTS, description="Of a collection: as many are named.")] = 100,
) -> Lineage:
    """What an answer, an adapter or a collection was made from: weights, run, data, recipe, evaluations; documents."""
    found = await _Lookup(there, asking).lineages(id, tenant, documents)
    if not found:
        raise nothing_of(id)
    return Lineage(id=id, data=found if asking.may(Scope.ADMIN) else [_for_users(node) for node in found])


class _Lookup:
    """Everything that one caller may know."""

    def __init__(self, there: Deployments, asking: Caller) -> None:
        self._there, self._asking = there, asking

    async def lineages(self, id: str, tenant: str | None, documents: int) -> list[LineageNode]:
        found = await asyncio.gather(
            _if_there(self._answer(id)),
            _if_there(self._adapter(id)),
            _if_there(self._collection(id, tenant, documents)),
        )
        return [node for node in found if node is not None]

    async def _answer(self, id: str) -> LineageNode:
        if self._there.reviews is None or not self._asking.may(Scope.INFER):
            raise nothing_of(id)
        owner = None if self._asking.may(Scope.ADMIN) else self._asking.owner
        answer = await self._there.reviews.find(id, owner)
        searched = passages_by_collection(answer)
        weights, *collections = await asyncio.gather(
            self._weights(answer), *(self._searched(answer, name, found) for name, found in searched.items())
        )
        return answer_lineage(answer, weights, [node for node in collections if node is not None])

    async def _weights(self, answer: KeptAnswer) -> LineageNode | None:
        if is_refusal(answer):
            return None
        if answer.adapter and not self._asking.may_use_adapter(answer.adapter):
            return LineageNode("adapter", answer.answered_by, note="This key may not use it any longer.")
        node: LineageNode = await self._there.llm.weights_lineage.remote(
            answer.answered_by, answer.location, answer.base_model
        )
        return node

    async def _searched(self, answer: KeptAnswer, name: str, found: Sequence[LivePassage]) -> LineageNode:
        if self._there.retriever is None:
            return LineageNode("collection", name, note="This server serves without retrieval now.")
        node: LineageNode = await self._there.retriever.searched_lineage.remote(
            name, answer.generations.get(name), answer.tenant, found
        )
        return node

    async def _adapter(self, id: str) -> LineageNode:
        ref = AdapterRef.parse(id)
        if not (self._asking.may(Scope.INFER) and self._asking.may_use_adapter(ref.name)):
            raise nothing_of(id)
        node: LineageNode = await self._there.llm.adapter_lineage.remote(ref)
        return node

    async def _collection(self, id: str, tenant: str | None, documents: int) -> LineageNode:
        retrieval = self._there.arguments.retrieval
        if self._there.retriever is None or retrieval is None:
            raise nothing_of(id)
        ServedCollections(retrieval.collections).check(id)
        where = self._asking.bound(Retrieval(collection=id, **({} if tenant is None else {"tenant": tenant})))
        of = where.tenant if "tenant" in where.model_fields_set else None
        names_documents = self._asking.may(Scope.DOCUMENTS)
        node: LineageNode = await self._there.retriever.lineage.remote(id, of, documents if names_documents else 0)
        return node


async def _if_there(node: Awaitable[LineageNode]) -> LineageNode | None:
    """None for what is not there, not for this caller, or no name of such a thing."""
    try:
        return await node
    except Exception as error:
        if isinstance(find_plait_error(error), NotFound | Forbidden | InvalidInput):
            return None
        raise


def _for_users(node: LineageNode) -> LineageNode:
    """The same, naming no folder of this server."""
    return replace(
        node,
        name=without_folders(node.name),
        facts={name: without_folders(fact) if isinstance(fact, str) else fact for name, fact in node.facts.items()},
        note=without_folders(node.note),
        children=tuple(map(_for_users, node.children)),
    )
