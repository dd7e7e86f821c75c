"""An uploaded file as the chunks of a collection: parsed and split as ingestion does it.

In: the file, and the index that it goes to. Out: chunks without vectors, or the reason why the file cannot be indexed.
It writes nothing.
"""

import logging
import threading
import time

from plait.documents.chunk import Chunk
from plait.documents.chunker import Origin, settings_hash
from plait.documents.failure import Failure, Unreadable
from plait.documents.load import count_notes, cut_by, load
from plait.documents.read import DocumentFile
from plait.documents.reader import DocumentReader
from plait.documents.rows import RowReader
from plait.documents.uploads.uploaded_files import UploadedFile
from plait.errors import InvalidInput
from plait.index.collection import Index
from plait.models.source import is_endpoint, resolve_model
from plait.recipes import DEFAULT_EMBEDDING, DocumentLimits, IngestRecipe

_log = logging.getLogger("ray.serve")


def chunks_of(
    file: UploadedFile,
    index: Index,
    tenant: str,
    limits: DocumentLimits,
    reader: DocumentReader,
    is_left_off: threading.Event,
) -> list[Chunk]:
    """Read a file and split it; `is_left_off`: nobody wants its chunks any more, so that it need not be split.

    Raises:
        InvalidInput: when it cannot be read.
    """
    recipe = _recipe(file, index, tenant, limits)
    document_file = DocumentFile(file.source, str(file.path))
    chunk = cut_by(document_file, recipe)
    settings_key = settings_hash(chunk, recipe.embedding.made_with)
    with RowReader(recipe.table) as rows:
        loaded = load(document_file, recipe, settings_key, rows, reader)
    if is_left_off.is_set():
        return []
    if isinstance(loaded, Failure):
        raise refusal(file, loaded.reason)
    version, document = loaded
    count_notes(document, index.name)
    for note in document.notes:
        _log.warning("%s, uploaded as %s: %s", file.filename, file.id, note.text)
    origin = Origin(tenant, file.source, version, int(time.time() * 1000))
    tokenizer_folder = resolve_model(recipe.embedding.tokenizer_source)
    try:
        return reader.chunk(document, origin, tokenizer_folder, chunk, settings_key)
    except Unreadable as error:
        raise refusal(file, str(error)) from error


def refusal(file: UploadedFile, reason: str) -> InvalidInput:
    """The error of a file that cannot be indexed."""
    return InvalidInput(f"'{file.filename}' cannot be indexed: {reason}.", "Mend it and send it again.")


def _recipe(file: UploadedFile, index: Index, tenant: str, limits: DocumentLimits) -> IngestRecipe:
    """What a run would ingest the file with. A later one with other settings makes the chunks anew."""
    tokenizer = index.chunking.tokenizer
    if tokenizer is None and is_endpoint(index.embedding_model):
        tokenizer = DEFAULT_EMBEDDING
    return IngestRecipe.model_validate(
        {
            "collection": index.name,
            "tenant": tenant,
            "sources": [str(file.path)],
            "chunk": index.chunking.chunk,
            "embedding": {"model": index.embedding_model, "tokenizer": tokenizer},
            "limits": limits.model_dump(),
            "sync": False,
        }
    )
