"""Chunks as the rows of a store, and rows as passages and hits."""

import json
import unicodedata

import numpy as np
import pyarrow as pa

from plait.documents.chunk import text_to_embed
from plait.errors import PlaitError
from plait.index import words
from plait.index.passage import Passage
from plait.index.schema import MAX_TEXT_BYTES
from plait.index.search import Hit, Search
from plait.index.stores.store import DENSE, WORDS, Found, Row
from plait.models.vectors import Vectors

PASSAGE_FIELDS = (
    "chunk_id",
    "source",
    "title",
    "heading",
    "text",
    "start",
    "end",
    "position",
    "metadata",
    "content_hash",
)
HIT_FIELDS = ("tenant", *PASSAGE_FIELDS)


def rows_of(chunks: pa.Table, dimension: int, with_words: bool) -> list[Row]:
    """Rows for chunks: columns CHUNK_SCHEMA and `dense`, list<float32>[dimension]."""
    dense = np.asarray(chunks[DENSE].combine_chunks().flatten()).reshape(-1, dimension)
    rows: list[Row] = chunks.drop_columns([DENSE]).to_pylist()
    for row, vector in zip(rows, dense, strict=True):
        # One form for values, as for names, so that filters find what looks alike.
        row["metadata"] = json.loads(unicodedata.normalize("NFC", row["metadata"]))
        row[DENSE] = vector
        if with_words:
            text = text_to_embed(row["title"], row["heading"], row["text"])
            row[WORDS] = words.within(MAX_TEXT_BYTES, words.analyzed(text))
    return rows


def passage_of(row: Row, score: float = 0.0, collection: str = "") -> Passage:
    """The passage that a row with PASSAGE_FIELDS, and others, says."""
    return Passage(**{name: row[name] for name in PASSAGE_FIELDS}, score=score, collection=collection)


def hit_of(found: Found, how: Search, question: Vectors | None, collection: str) -> Hit:
    """The hit that a search of a collection found. `question`: the vector of its question.

    Raises:
        PlaitError: when it is another tenant's.
    """
    if found.row["tenant"] != how.tenant:  # cannot be; and if it is, it must not get any further
        raise PlaitError("The store found a document of another tenant.", "Please report the filter that did it.")
    score = found.score
    if how.mode == "hybrid" and found.vector is not None and question is not None:
        score = float(found.vector @ question)
    return Hit(passage_of(found.row, score, collection), found.vector if how.with_vectors else None)
