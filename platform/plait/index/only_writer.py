"""One writer at a time: of a collection and tenant, or of the whole embedded Milvus, which takes no second one."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from plait.errors import Conflict
from plait.settings import settings


@contextmanager
def only_writer(collection: str, tenant: str, uri: str, wait_s: float = 0) -> Iterator[None]:
    """Refuse a second writer, which would remove what this one writes; `wait_s`: how long to wait for its end.

    A Milvus server takes writers to other collections and tenants beside us, the embedded one takes none.

    Raises:
        Conflict: when another is still writing.
    """
    is_embedded = settings().milvus_uri is None
    scope = uri if is_embedded else f"{uri} {collection} {tenant}"
    settings().local_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings().local_dir / f"ingest-{hashlib.sha256(scope.encode()).hexdigest()[:16]}.lock")
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        what = f"the Milvus at {uri}" if is_embedded else f"collection '{collection}'"
        raise Conflict(f"Another ingestion is writing to {what}.", "Wait until it has ended.") from None
    try:
        yield
    finally:
        lock.release()
