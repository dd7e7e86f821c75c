"""What plait.local.embedded_milvus needs of Milvus Lite that is not public: a release that changes it fails here."""

import inspect
from collections.abc import Sequence

import numpy as np
from milvus_lite.engine.collection import Collection
from milvus_lite.index import sparse_factory
from milvus_lite.index.sparse_inverted import SparseInvertedIndex

from plait.local import embedded_milvus
from plait.local.embedded_milvus import SegmentIndex

DOCUMENTS: tuple[dict[int, float], ...] = ({1: 2.0, 2: 1.0}, {1: 1.0}, {2: 1.0, 3: 4.0}, {3: 1.0})


def built(index: SparseInvertedIndex, documents: Sequence[dict[int, float]]) -> SparseInvertedIndex:
    index.build(list(documents))
    return index


def test_two_segments_score_as_one_would() -> None:
    _, expected = built(SparseInvertedIndex(), DOCUMENTS).search([{1: 1.0, 2: 1.0}], 4)
    segments = [built(SegmentIndex(), DOCUMENTS[:2]), built(SegmentIndex(), DOCUMENTS[2:])]
    token = embedded_milvus._searched.set(segments)
    try:
        found = [segment.search([{1: 1.0, 2: 1.0}], 2)[1] for segment in segments]
    finally:
        embedded_milvus._searched.reset(token)
    assert np.allclose(np.sort(np.concatenate(found, axis=1)), np.sort(expected))


def test_a_collection_has_what_is_put_in_place_of_its_own() -> None:
    assert "vector_field" in inspect.signature(Collection._search_sparse).parameters
    assert list(inspect.signature(Collection._require_loaded).parameters) == ["self"]
    assert list(inspect.signature(Collection.load).parameters) == ["self"]
    assert isinstance(Collection.load_state, property)
    assert "seg_snap, delta_snap = self._read_snapshot()" in inspect.getsource(Collection)
    assert ".sparse_indexes.get(vector_field)" in inspect.getsource(Collection._search_sparse)
    assert sparse_factory.SparseInvertedIndex is SparseInvertedIndex
    assert isinstance(sparse_factory.create_sparse_index("BM25", {}), SparseInvertedIndex)
