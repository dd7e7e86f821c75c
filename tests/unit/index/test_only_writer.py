from collections.abc import Iterator
from pathlib import Path

import pytest
from changed_settings import changed_settings

from plait.errors import Conflict
from plait.index.only_writer import only_writer
from plait.index.stores.memory import MemoryStore
from plait.index.stores.store import Capability


class OfOneWriter(MemoryStore):
    """A store that takes one writer at a time."""

    capabilities: frozenset[Capability] = frozenset()


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[None]:
    with changed_settings(home=tmp_path):
        yield


def test_a_collection_and_tenant_have_one_writer_at_a_time() -> None:
    store = MemoryStore()
    with only_writer(store, "birds", "ours"):
        with pytest.raises(Conflict, match="is writing to collection 'birds'"), only_writer(store, "birds", "ours"):
            pass
        with only_writer(store, "birds", "theirs"), only_writer(store, "cats", "ours"):
            pass
    with only_writer(store, "birds", "ours"):
        pass


def test_a_store_that_takes_one_writer_has_one_whatever_the_collection() -> None:
    store = OfOneWriter()
    with (
        only_writer(store, "birds", "ours"),
        pytest.raises(Conflict, match="is writing to the store at memory"),
        only_writer(store, "cats", "theirs"),
    ):
        pass
