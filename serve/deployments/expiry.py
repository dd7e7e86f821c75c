"""What ends by itself: files, uploads and collections whose time is over, and what is left of deleted collections.

In: how to delete one. Out: nothing; what cannot be deleted now is tried again the next time. It knows no index.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from plait.documents.uploads import made_collections, multipart, uploaded_files
from plait.errors import PlaitError

_EVERY_S = 600.0
_log = logging.getLogger("ray.serve")


class Expiry:
    """Looks every ten minutes.

    Args:
        drop_collection: deletes what is left of a collection that is gone, by its name.
        delete_file: takes a file out of its collections and deletes it, by its id.
    """

    def __init__(
        self, drop_collection: Callable[[str], Awaitable[None]], delete_file: Callable[[str], Awaitable[None]]
    ) -> None:
        self._drop_collection = drop_collection
        self._delete_file = delete_file
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on, on this event loop."""
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:  # the disk may be away; the next look finds it again
                _log.error("what has expired could not be looked for", exc_info=error)
            await asyncio.sleep(_EVERY_S)

    async def sweep(self) -> None:
        """Delete everything whose time is over."""
        now = time.time()
        await asyncio.to_thread(multipart.tidy)
        for collection in await asyncio.to_thread(made_collections.made):
            if collection.expires_at is not None and now >= collection.expires_at:
                made_collections.forget(collection.id)
        for name in made_collections.gone():
            await self._try(self._drop_collection, name)
        for file in await asyncio.to_thread(uploaded_files.files):
            if file.expires_at is not None and now >= file.expires_at:
                await self._try(self._delete_file, file.id)

    async def _try(self, delete: Callable[[str], Awaitable[None]], what: str) -> None:
        try:
            await delete(what)
        except PlaitError as error:
            _log.warning("'%s' has ended and cannot be deleted yet: %s", what, error)
