"""A passage: a chunk that was found for a question, with its score."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """What retrieval returns and an answer cites.

    `score` is the cosine similarity to the query for dense search, -1 to 1, higher is nearer.
    `start` and `end` are the character span of `text` in the cleaned text of `source`.
    """

    chunk_id: str
    source: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    score: float
