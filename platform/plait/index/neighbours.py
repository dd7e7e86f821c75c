"""The chunks around chunks, of the same version of their document."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from plait.index.conditions import And, Compare, Equals, Field, Or
from plait.index.connection import Milvus
from plait.index.passage import Passage
from plait.index.stores.milvus.expression import expression
from plait.settings import settings

PASSAGE_FIELDS = ("chunk_id", "source", "title", "heading", "text", "start", "end", "position", "metadata")


def chunks_around(
    milvus: Milvus, collection: str, tenant: str, passages: Sequence[Passage], reach: int
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
    with milvus.answering(f"read '{collection}'") as client:
        rows: list[dict[str, Any]] = client.query(
            collection,
            filter=expression(And((Equals(Field("tenant"), tenant), Or(places)))),
            output_fields=[*PASSAGE_FIELDS, "content_hash"],
            timeout=settings().milvus_timeout_s,
        )
    hashes = {row["chunk_id"]: row["content_hash"] for row in rows}
    documents: dict[tuple[str, str], list[Passage]] = defaultdict(list)
    for row in rows:
        fields = {name: row[name] for name in PASSAGE_FIELDS}
        documents[row["source"], row["content_hash"]].append(Passage(**fields, score=0.0))
    return {
        passage.chunk_id: [
            chunk
            for chunk in documents[passage.source, hashes.get(passage.chunk_id, "")]
            if abs(chunk.position - passage.position) <= reach
        ]
        for passage in passages
    }
