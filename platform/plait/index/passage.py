"""A passage: a chunk that was found for a question, with its score."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Passage:
    """What retrieval returns and an answer cites.

    `score` says how near it is to the question, higher is nearer: the cosine similarity (-1 to 1) of dense and hybrid
    search, the BM25 score (0 and more) of BM25 search, or what a reranker said.
    `start` and `end` are the character span of `text` in the cleaned text of `source`; `position` is the number of the
    chunk in it. `content_hash` is that of its document and of what cut it. `collection` is the one that holds it.
    `chunk` is what was found, where `text` has its neighbours too.
    """

    chunk_id: str
    source: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    score: float
    position: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    collection: str = ""
    content_hash: str = ""
    chunk: "Passage | None" = None
