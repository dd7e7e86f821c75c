from plait.documents.failure import Failure
from plait.index.collection import Index
from plait.index.quarantine import Quarantine
from plait.index.stores.memory import MemoryStore


def test_an_index_that_is_dropped_takes_its_quarantine_along() -> None:
    store = MemoryStore()
    index = Index.open_or_create("birds", store, embedding_model="model-a", dimension=8)
    quarantine, other = Quarantine(store, "birds"), Quarantine(store, "another")
    for held in (quarantine, other):
        held.put("t", [Failure("a.md", "it is bad")])
        held.put("t", [Failure("a.md", "it is worse", "parse", "h")])
    assert [entry.failure for entry in quarantine.entries()] == [Failure("a.md", "it is worse", "parse", "h")]
    assert quarantine.entries("somebody else") == []
    index.drop()
    assert quarantine.entries() == []
    assert len(other.entries()) == 1
