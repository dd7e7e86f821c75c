"""Where an installation keeps its collections: the one place that says which store is used."""

from plait.index.stores.store import Store


def connect(uri: str | None = None, token: str | None = None) -> Store:
    """Connect to a store.

    Args:
        uri: the Milvus server; None: the one of this installation, which is started if it is embedded.
        token: its token; None: that of the settings.

    Raises:
        InvalidInput: when the URI is none.
        Unavailable: when no server answers there.
    """
    from plait.index.stores.milvus.connection import Milvus
    from plait.index.stores.milvus.store import MilvusStore

    return MilvusStore(Milvus.connect(uri, token))
