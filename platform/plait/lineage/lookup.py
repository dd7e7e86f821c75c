"""Everything that an id names, in the stores of this installation: kept answers, adapters, collections.

In: an id. Out: its lineages, as one name may be that of an adapter and of a collection. It asks the stores themselves;
a server asks its deployments (`serve/api/lineage.py`).
"""

from contextlib import suppress

from plait.adapters.registry import Registry
from plait.errors import CollectionNotFound, InvalidInput, ModelNotFound, NotFound
from plait.evaluation.live.traces import AnswerTraces
from plait.index.stores.connect import connect_store
from plait.lineage.adapters import adapter_lineage, weights_lineage
from plait.lineage.answers import answer_lineage, is_refusal, passages_by_collection
from plait.lineage.collections import collection_lineage, searched_lineage
from plait.lineage.node import LineageNode, nothing_of
from plait.model_ids import AdapterRef


def lineages(id: str, most_documents: int) -> list[LineageNode]:
    """The lineages of what an id names: the id of a request, an adapter (`support`, `support:3`), a collection.

    Raises:
        NotFound: when it names nothing.
        Unavailable: when the tracking server or the store does not answer.
    """
    found: list[LineageNode] = []
    with suppress(NotFound):
        found.append(_answer(id))
    with suppress(ModelNotFound, InvalidInput):
        found.append(adapter_lineage(Registry(), AdapterRef.parse(id)))
    with suppress(CollectionNotFound):
        found.append(collection_lineage(connect_store(), id, None, most_documents))
    if not found:
        raise nothing_of(id)
    return found


def _answer(id: str) -> LineageNode:
    answer = AnswerTraces().find(id, owner=None)
    weights = None
    if not is_refusal(answer):
        weights = weights_lineage(Registry(), answer.answered_by, answer.location, answer.base_model)
    searched = [
        searched_lineage(connect_store(), name, answer.generations.get(name), answer.tenant, passages)
        for name, passages in passages_by_collection(answer).items()
    ]
    return answer_lineage(answer, weights, searched)
