"""From files that a client wants in a collection to their attachments: checked, and noted all or none.

In: ids of files, and how each is to be put there. Out: attachments that wait to be indexed. It knows neither the queue
nor the index.
"""

import time
from collections.abc import Iterable, Mapping

from ray.serve.handle import DeploymentHandle

from plait.documents.formats import FORMATS
from plait.documents.uploads import attachments, uploaded_files
from plait.documents.uploads.attachments import Attachment, AttachmentOptions
from plait.documents.uploads.reach import Reach
from plait.errors import InsufficientStorage, InvalidInput, NotFound


def check_files(wanted: Iterable[str], reach: Reach) -> None:
    """Check that files can be indexed.

    Raises:
        NotFound: when there is no such file.
        InvalidInput: for a file of an unknown format, or one whose state cannot be read.
    """
    for file in [uploaded_files.file(file_id, reach) for file_id in wanted]:
        if file.error:
            raise InvalidInput(f"File '{file.id}' cannot be used.", file.error)
        if file.path.suffix.lower() not in FORMATS:
            raise InvalidInput(f"'{file.filename}' is of no known format.", f"Known: {', '.join(sorted(FORMATS))}.")


async def as_the_model_reads(
    wanted: Mapping[str, AttachmentOptions], embedder: DeploymentHandle
) -> dict[str, AttachmentOptions]:
    """The same, with chunks that are no longer than the embedding model reads."""
    if not any(options.chunk_size for options in wanted.values()):
        return dict(wanted)
    reads_tokens = await embedder.reads_tokens.remote()
    return {
        file_id: options.model_copy(
            update={"chunk_size": options.chunk_size.within(reads_tokens) if options.chunk_size else None}
        )
        for file_id, options in wanted.items()
    }


def note(
    collection: str, tenant: str, wanted: Mapping[str, AttachmentOptions], batch: str | None = None
) -> list[Attachment]:
    """The files as they stand in the collection from now on.

    Raises:
        NotFound: when one was deleted meanwhile; then none is put there.
        InsufficientStorage: when the disk is full; likewise.
    """
    noted: list[Attachment] = []
    try:
        for file_id, options in wanted.items():
            attached = Attachment(
                file_id=file_id,
                collection=collection,
                tenant=tenant,
                created_at=int(time.time()),
                attributes=options.attributes,
                chunk_size=options.chunk_size,
                batch=batch,
            )
            attachments.write(attached)
            noted.append(attached)
    except (NotFound, InsufficientStorage):
        for attached in noted:
            attachments.drop(attached)
        raise
    return noted
