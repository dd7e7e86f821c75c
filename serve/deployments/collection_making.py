"""Collections that clients make over the API, in the index: made like the first one of the configuration, and dropped.

In: what a client wants of one. Out: an empty collection that is searched and written to as any other. It knows neither
files nor HTTP. Every call waits for the store.
"""

import threading

from plait.documents.uploads import made_collections
from plait.errors import CollectionNotFound, Conflict
from plait.index.collection import Index
from plait.index.only_writer import only_writer
from plait.index.stores.store import Store

_WAIT_FOR_WRITERS_S = 20.0  # a client waits for the answer


class CollectionMaking:
    """Makes and drops collections of one store.

    Args:
        store: the one that has them.
        like: the collection whose embedding model and chunk settings new ones get.
        most: how many there may be.
    """

    def __init__(self, store: Store, like: str, most: int) -> None:
        self._store = store
        self._like = like
        self._most = most
        self._counting = threading.Lock()

    def make(self, name: str, tenant: str) -> None:
        """Make a collection in the index; it is there for clients once `made_collections.write` says so.

        Raises:
            Conflict: when there are as many as there may be, or an ingestion is writing that the store takes no other
                writer beside.
            Unavailable: when the store does not answer.
            InsufficientStorage: when the disk is full.
        """
        with self._counting:
            if len(made_collections.made()) + len(made_collections.begun()) >= self._most:
                raise Conflict(
                    f"There are {self._most} collections already that were made over the API.",
                    "Delete one, or have retrieval.max_made_collections raised on the server.",
                )
            like = Index.open(self._like, self._store)
            made_collections.begin(name)
        try:
            with only_writer(self._store, name, tenant, _WAIT_FOR_WRITERS_S):
                Index.open_or_create(
                    name,
                    self._store,
                    embedding_model=like.embedding_model,
                    dimension=like.dimension,
                    prompts=like.vectors.prompts,
                    chunking=like.chunking,
                )
        except BaseException:
            made_collections.forget(name)
            raise

    def drop(self, name: str, tenant: str) -> None:
        """Drop what the store has of a collection that is gone.

        Raises:
            Conflict: when an ingestion is writing that the store takes no other writer beside.
            Unavailable: when the store does not answer.
        """
        with only_writer(self._store, name, tenant, _WAIT_FOR_WRITERS_S):
            try:
                Index.open(name, self._store).drop()
            except CollectionNotFound:
                return
