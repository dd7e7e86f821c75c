"""Where this installation keeps its collections: the one place that says which store is used, and where it is."""

from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.store import MilvusStore
from plait.index.stores.store import Store
from plait.local.milvus import milvus_uri
from plait.settings import settings


def connect_store() -> Store:
    """The store of this installation. The embedded Milvus is started unless the settings name a server.

    Raises:
        InvalidInput: when the settings name no address.
        Unavailable: when the server does not answer, or the embedded one does not start.
    """
    return MilvusStore(Milvus(milvus_uri(), settings().milvus_token))
