"""Whose turn it is: files that wait to be indexed, so that nobody waits for all that somebody else has sent.

In: attachments with the sizes of their files. Out: one at a time; tenants take turns, and a tenant's files come in the
order in which they were attached. It does not know what is done with them.
"""

import asyncio
from collections import deque

from plait.documents.uploads.attachments import Attachment

Key = tuple[str, str, str]
"""Collection, tenant and file: what an attachment is of."""


def key_of(attachment: Attachment) -> Key:
    return attachment.collection, attachment.tenant, attachment.file_id


class Turns:
    """A queue of attachments, for one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[int, Attachment]]] = {}  # the tenant whose turn it is comes first
        self._came = asyncio.Condition()

    async def put(self, attachment: Attachment, size: int) -> None:
        """Let a file of `size` bytes wait, once, whatever it was attached with before."""
        self.drop(key_of(attachment))
        self._waiting.setdefault(attachment.tenant, deque()).append((size, attachment))
        async with self._came:
            self._came.notify_all()

    async def next(self, max_bytes: int | None = None) -> Attachment:
        """The file whose turn it is, of those that have no more than `max_bytes`; waits until there is one."""
        async with self._came:
            while True:
                found = self._take(max_bytes)
                if found is not None:
                    return found
                await self._came.wait()

    def drop(self, key: Key) -> None:
        """Let a file wait no longer."""
        tenant = key[1]
        left = deque(waiting for waiting in self._waiting.get(tenant, ()) if key_of(waiting[1]) != key)
        if left:
            self._waiting[tenant] = left
        else:
            self._waiting.pop(tenant, None)

    def _take(self, max_bytes: int | None) -> Attachment | None:
        for tenant, files in self._waiting.items():
            for size, attachment in files:
                if max_bytes is None or size <= max_bytes:
                    self.drop(key_of(attachment))
                    if tenant in self._waiting:  # behind the others
                        self._waiting[tenant] = self._waiting.pop(tenant)
                    return attachment
        return None
