"""The embedded server: `milvus-lite server`, whose BM25 counts words in the whole collection, as a Milvus server does.

Milvus Lite 3.2 scores each segment by that segment's own numbers of documents and of documents that hold a word, so
that scores from two segments do not compare: a word that is rare in the collection is common in the small segment that
was written last. Here the segments of a search are scored by their sums; what is not flushed yet counts only for
itself.
"""

import sys
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from milvus_lite.cmdline import main
from milvus_lite.engine.collection import Collection
from milvus_lite.index import sparse_factory
from milvus_lite.index.sparse_inverted import SparseInvertedIndex

_searched: ContextVar[Sequence[SparseInvertedIndex]] = ContextVar("searched", default=())
_search_sparse = Collection._search_sparse


class SegmentIndex(SparseInvertedIndex):  # type: ignore[misc]  # the library has no types
    """The index of one segment, which scores by the statistics of all segments that are searched."""

    def search(self, query_sparse_vectors: list[dict[int, float]], top_k: int, valid_mask: Any = None) -> Any:
        indexes = [self, *(index for index in _searched.get() if index is not self)]
        scorer = SparseInvertedIndex(self.k1, self.b)
        scorer._posting_lists, scorer._doc_lengths = self._posting_lists, self._doc_lengths
        scorer.doc_count = sum(index.doc_count for index in indexes)
        scorer.avgdl = sum(index.doc_count * index.avgdl for index in indexes) / max(1, scorer.doc_count)
        words = {word for query in query_sparse_vectors for word in query}
        scorer._df = {word: sum(index._df.get(word, 0) for index in indexes) for word in words}
        return scorer.search(query_sparse_vectors, top_k, valid_mask)


def search_sparse(collection: Collection, *, vector_field: str, partition_names: list[str] | None, **how: Any) -> Any:
    """Search by words, with the indexes of all segments at hand."""
    held = [segment for segment in collection._read_snapshot()[0] if segment.table is not None and len(segment.table)]
    segments = [segment for segment in held if partition_names is None or segment.partition in partition_names]
    how |= {"vector_field": vector_field, "partition_names": partition_names}
    if any(vector_field not in segment.sparse_indexes for segment in segments):
        _search_sparse(collection, **how)  # the first search of a segment makes its index
    indexes = [segment.sparse_indexes.get(vector_field) for segment in segments]
    token = _searched.set([index for index in indexes if index is not None])
    try:
        return _search_sparse(collection, **how)
    finally:
        _searched.reset(token)


if __name__ == "__main__":
    sparse_factory.SparseInvertedIndex = SegmentIndex
    Collection._search_sparse = search_sparse
    sys.exit(main())
