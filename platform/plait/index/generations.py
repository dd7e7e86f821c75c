"""What the name of an index stands for: an alias of one collection, which is a generation of the index.

A rebuild fills the next generation while the present one is searched, and moves the alias in one step. A generation
that no alias names is one that was not finished. Numbers are never used again while an index exists, so whoever holds
on to a generation that was replaced finds it gone, and never finds another in its place.
"""

import re

from plait.errors import Conflict
from plait.index.properties import EMBEDDING
from plait.index.stores.store import Store

_GENERATION = re.compile(r"__(\d+)\Z")


def collection_of(index: str, generation: int) -> str:
    """The collection that holds a generation of an index."""
    return f"{index}__{generation}"


def generation_of(collection: str) -> int:
    """Which generation a collection is.

    Raises:
        Conflict: when it is none, because its name is no alias.
    """
    match = _GENERATION.search(collection)
    if match is None:
        raise Conflict(
            f"'{collection}' is a collection itself and not the alias of one, so it cannot be replaced.",
            "Drop it and ingest again, or rebuild under another name.",
        )
    return int(match[1])


def index_names(store: Store) -> list[str]:
    """The names of the indexes in a store, in order; a generation that was not finished has none."""
    ours = [name for name, properties in store.collections().items() if EMBEDDING in properties]
    return sorted(name for collection in ours for name in _names(store, collection))


def _names(store: Store, collection: str) -> list[str]:
    return store.aliases(collection) if _GENERATION.search(collection) else [collection]
