"""The lineage of what is searched: a collection, its generation, its documents with their hashes.

In: a name, or what an answer says of where its passages are from. Out: a node. What was dropped or changed since is
said at its place.
"""

from collections.abc import Iterator, Mapping, Sequence

from plait.errors import CollectionNotFound
from plait.evaluation.live.answer import LivePassage
from plait.index.collection import Index
from plait.index.document_state import DocumentState
from plait.index.stores.store import Store
from plait.lineage.node import Fact, LineageNode, moment


def collection_lineage(store: Store, name: str, tenants: Sequence[str] | None, most: int) -> LineageNode:
    """The lineage of a collection as it is now.

    Args:
        tenants: whose documents; None: all.
        most: documents to name, in the order of their names; the others are counted.

    Raises:
        CollectionNotFound: when there is none of this name.
        Unavailable: when the store does not answer.
    """
    index = Index.open(name, store)
    facts = _facts(index)
    documents: list[LineageNode] = []
    count = 0
    for tenant in index.stats().documents_by_tenant if tenants is None else tenants:
        states = index.document_states(tenant)
        count += len(states)
        for source in sorted(states)[: most - len(documents)]:
            documents.append(_document(source, states[source], tenant))
    note = f"Named here: {len(documents)} of {count} documents." if count > len(documents) else ""
    return LineageNode("collection", name, facts | {"documents": count}, note, tuple(documents))


def searched_lineage(
    store: Store, name: str, generation: int | None, tenant: str, passages: Sequence[LivePassage]
) -> LineageNode:
    """The lineage of passages that an answer was given from: all of one collection.

    Args:
        generation: that was searched; None: not recorded.
        tenant: whose documents were searched; empty: not recorded.
    """
    hashes = {passage.source: passage.content_hash for passage in passages}
    facts: dict[str, Fact] = {} if generation is None else {"generation": generation}
    try:
        index = Index.open(name, store)
        states = index.document_states(tenant, list(hashes)) if tenant else None
    except CollectionNotFound:
        return LineageNode("collection", name, facts, "The collection is gone.", tuple(_documents(passages, None)))
    note = "" if generation is not None else "Which generation was searched was not recorded."
    now = index.generation_if_any
    if generation is not None and now != generation:
        note = f"This generation is gone; the collection is at generation {now} now."
    return LineageNode("collection", name, _facts(index) | facts, note, tuple(_documents(passages, states)))


def _documents(passages: Sequence[LivePassage], now: Mapping[str, DocumentState] | None) -> Iterator[LineageNode]:
    """The documents of passages, in their order. `now`: what the collection holds of them; None: nobody can say."""
    for source in dict.fromkeys(passage.source for passage in passages):
        of_it = [passage for passage in passages if passage.source == source]
        said = of_it[0].content_hash
        facts: dict[str, Fact] = {"chunks": ", ".join(passage.chunk_id for passage in of_it)}
        note = "Its hash was not recorded."
        if said:
            facts = {"content_hash": said, **facts}
            note = ""
        if now is not None and source not in now:
            note = "The document is gone from the collection."
        elif now is not None and said and not now[source].is_exactly(said):
            note = "The document, or how it is cut, has changed since."
        yield LineageNode("document", source, facts, note)


def _document(source: str, state: DocumentState, tenant: str) -> LineageNode:
    hashes = sorted(version.content_hash for version in state.present)
    note = "" if state.is_whole else "It is being written, or was left half written."
    return LineageNode(
        "document", source, {"content_hash": ", ".join(hashes), "chunks": state.chunks, "tenant": tenant}, note
    )


def _facts(index: Index) -> dict[str, Fact]:
    generation, in_step_at = index.generation_if_any, index.in_step_at()
    return {
        **({} if generation is None else {"generation": generation}),
        "embedding_model": index.embedding_model,
        "chunking": index.chunking.model_dump_json(),
        **({} if in_step_at is None else {"in_step_at": moment(in_step_at * 1000)}),
    }
