"""One writer at a time: of a collection and tenant, or of the whole store where it takes no second one."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from plait.errors import Conflict
from plait.index.stores.store import Store
from plait.settings import settings


@contextmanager
def only_writer(store: Store, collection: str, tenant: str, wait_s: float = 0) -> Iterator[None]:
    """Refuse a second writer, which would remove what this one writes; `wait_s`: how long to wait for its end.

    Raises:
        Conflict: when another is still writing.
        Unavailable: when the store, asked for what it can do, does not answer.
    """
    is_of_all = "many_writers" not in store.capabilities
    scope = store.address if is_of_all else f"{store.address} {collection} {tenant}"
    settings().local_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings().local_dir / f"ingest-{hashlib.sha256(scope.encode()).hexdigest()[:16]}.lock")
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        what = f"the store at {store.address}" if is_of_all else f"collection '{collection}'"
        raise Conflict(f"Another ingestion is writing to {what}.", "Wait until it has ended.") from None
    try:
        yield
    finally:
        lock.release()
