"""The files that are worked off, and those that are taken out at any moment."""

import asyncio
import io

import pytest

from plait.documents.reader import DocumentReader
from plait.documents.uploads import uploaded_files
from plait.documents.uploads.attachments import Attachment
from plait.recipes import DocumentLimits
from plait.serve.deployments.indexing_queue import IndexingQueue


@pytest.mark.parametrize("steps", range(12))
async def test_a_file_that_is_taken_out_on_its_way_into_work_is_in_work_no_more(steps: int) -> None:
    under_way: list[str] = []

    async def index(attachment: Attachment, reader: DocumentReader) -> None:
        under_way.append(attachment.file_id)
        try:
            await asyncio.sleep(60)
        finally:
            under_way.remove(attachment.file_id)

    file = uploaded_files.save("a.md", "assistants", io.BytesIO(b"text"))
    attachment = Attachment(file_id=file.id, collection="docs", tenant="default", created_at=1, attributes={})
    queue = IndexingQueue(index, DocumentLimits())
    queue.start()
    await asyncio.sleep(0)  # both lanes wait
    await queue.put(attachment)
    for _ in range(steps):
        await asyncio.sleep(0)
    await queue.drop(attachment)
    for _ in range(20):
        await asyncio.sleep(0)
    assert under_way == []
