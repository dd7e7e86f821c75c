"""The embedded server: `milvus-lite server`, which does two things more as a Milvus server does them.

Its BM25 counts words in the whole collection.

Milvus Lite 3.2 scores each segment by that segment's own numbers of documents and of documents that hold a word, so
that scores from two segments do not compare: a word that is rare in the collection is common in the small segment that
was written last. Here all segments of a collection are scored by their sums. Chunks that are not flushed yet are scored
by these sums and their own; chunks that were replaced or deleted count until segments are merged.

And after a restart collections can be searched: Milvus Lite would refuse until a client tells it to load them, while
those that are connected do not know that it died.
"""

import sys
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from milvus_lite.cmdline import main
from milvus_lite.engine.collection import Collection
from milvus_lite.index import sparse_factory
from milvus_lite.index.sparse_inverted import SparseInvertedIndex

_searched: ContextVar[Sequence[SparseInvertedIndex]] = ContextVar("searched", default=())
_search_sparse = Collection._search_sparse
_making_indexes = threading.Lock()


class SegmentIndex(SparseInvertedIndex):  # type: ignore[misc]  # the library has no types
    """The index of one segment, which scores by the statistics of all of the collection's."""

    def search(self, query_sparse_vectors: list[dict[int, float]], top_k: int, valid_mask: Any = None) -> Any:
        indexes = [self, *(index for index in _searched.get() if index is not self)]
        scorer = SparseInvertedIndex(self.k1, self.b)
        scorer._posting_lists, scorer._doc_lengths = self._posting_lists, self._doc_lengths
        scorer.doc_count = sum(index.doc_count for index in indexes)
        scorer.avgdl = sum(index.doc_count * index.avgdl for index in indexes) / max(1, scorer.doc_count)
        words = {word for query in query_sparse_vectors for word in query}
        scorer._df = {word: sum(index._df.get(word, 0) for index in indexes) for word in words}
        return scorer.search(query_sparse_vectors, top_k, valid_mask)


def search_sparse(collection: Collection, **how: Any) -> Any:
    """Search by words, with the indexes of all segments at hand; after a flush one search makes those that are new."""
    field = how["vector_field"]
    with _making_indexes:
        if any(field not in segment.sparse_indexes for segment in _segments(collection)):
            _search_sparse(collection, **how)
    indexes = [segment.sparse_indexes.get(field) for segment in _segments(collection)]
    token = _searched.set([index for index in indexes if index is not None])
    try:
        return _search_sparse(collection, **how)
    finally:
        _searched.reset(token)


def _segments(collection: Collection) -> list[Any]:
    segments, _ = collection._read_snapshot()
    return [segment for segment in segments if len(segment.table)]


def load_when_needed(collection: Collection) -> None:
    """In place of the check that a client has loaded the collection."""
    if collection.load_state != "loaded":  # `load` would wait for whatever maintenance goes on
        collection.load()


if __name__ == "__main__":
    sparse_factory.SparseInvertedIndex = SegmentIndex
    Collection._search_sparse = search_sparse
    Collection._require_loaded = load_when_needed
    sys.exit(main())
