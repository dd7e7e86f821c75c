"""The chunks around chunks, of the same version of their document."""

from collections import defaultdict
from collections.abc import Sequence

from plait.index.conditions import And, Compare, Equals, Field, Or
from plait.index.passage import Passage
from plait.index.rows import PASSAGE_FIELDS, passage_of
from plait.index.stores.store import StoreCollection


def chunks_around(
    collection: StoreCollection, tenant: str, passages: Sequence[Passage], reach: int
) -> dict[str, list[Passage]]:
    """By `chunk_id` of each passage, the chunks at most `reach` before and after it, itself among them; score 0.

    While a document is being replaced two versions of it are there: only that of the passage is taken.
    """
    if not passages or not reach:
        return {}
    position = Field("position")
    places = tuple(
        And(
            (
                Equals(Field("source"), p.source),
                Compare(position, ">=", p.position - reach),
                Compare(position, "<=", p.position + reach),
            )
        )
        for p in passages
    )
    where = And((Equals(Field("tenant"), tenant), Or(places)))
    rows = collection.look_up(where, PASSAGE_FIELDS)
    hashes = {row["chunk_id"]: row["content_hash"] for row in rows}
    documents: dict[tuple[str, str], list[Passage]] = defaultdict(list)
    for row in rows:
        documents[row["source"], row["content_hash"]].append(passage_of(row))
    return {
        passage.chunk_id: [
            chunk
            for chunk in documents[passage.source, hashes.get(passage.chunk_id, "")]
            if abs(chunk.position - passage.position) <= reach
        ]
        for passage in passages
    }
