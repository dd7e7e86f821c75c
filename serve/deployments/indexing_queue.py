"""The files that wait to be indexed, and the two lanes that work them off.

In: attachments. Out: a call for each, whose turn it is (turns.py). A file that is taken out is worked on no longer. It
does not know how a file is indexed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from plait.documents.reader import DocumentReader
from plait.documents.uploads import uploaded_files
from plait.documents.uploads.attachments import Attachment
from plait.recipes import DocumentLimits
from plait.serve.deployments.turns import Key, Turns, key_of

_log = logging.getLogger("ray.serve")
_SMALL_BYTES = 2**20
_IDLE_S = 60.0  # then the process that reads files gives its memory back


class IndexingQueue:
    """A queue for one event loop.

    Args:
        index: brings one file into its collection; it reads the file by the process that it is given.
        limits: of that process.
    """

    def __init__(
        self, index: Callable[[Attachment, DocumentReader], Coroutine[None, None, None]], limits: DocumentLimits
    ) -> None:
        self._index = index
        self._limits = limits
        self._turns = Turns()
        self._in_work: dict[Key, asyncio.Task[None]] = {}
        self._lanes: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Work the queue off from now on."""
        # The second takes small files only: they never wait for a large one.
        self._lanes = [asyncio.create_task(self._work(max_bytes)) for max_bytes in (None, _SMALL_BYTES)]

    async def put(self, attachment: Attachment) -> None:
        """Let a file wait for its turn.

        Raises:
            NotFound: when the file was deleted meanwhile.
        """
        await self._turns.put(attachment, uploaded_files.file(attachment.file_id).bytes)

    async def drop(self, attachment: Attachment) -> None:
        """Let a file wait no longer; when it is in work, end that."""
        self._turns.drop(key_of(attachment))
        task = self._in_work.pop(key_of(attachment), None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _work(self, max_bytes: int | None) -> None:
        reader = DocumentReader(self._limits)
        while True:
            try:
                # `wait_for` would make a task of it: between its end and here, a file would be in nobody's list.
                async with asyncio.timeout(_IDLE_S):
                    next_one = await self._turns.next(max_bytes)
            except TimeoutError:
                await asyncio.to_thread(reader.close)
                continue
            key = key_of(next_one)
            task = self._in_work[key] = asyncio.create_task(self._index(next_one, reader))
            await asyncio.wait([task])
            if self._in_work.get(key) is task:  # else it was taken out, and may be in work again
                del self._in_work[key]
            if not task.cancelled() and (error := task.exception()):
                _log.error("a file could not be indexed", exc_info=error)
