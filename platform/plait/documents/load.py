"""A document out of the file or the row that holds it, with the hash of its content; or why there is none."""

from dataclasses import replace
from pathlib import Path

from plait.documents.failure import Failure, Unreadable
from plait.documents.parse import Document
from plait.documents.read import DocumentFile, content_hash
from plait.documents.reader import DocumentReader
from plait.documents.rows import RowReader
from plait.documents.stores import read_file
from plait.documents.uploads import attachments, uploaded_files
from plait.observability import metrics
from plait.recipes import ChunkConfig, IngestRecipe


def load(
    file: DocumentFile, recipe: IngestRecipe, settings_key: str, rows: RowReader, reader: DocumentReader
) -> tuple[str, Document] | Failure:
    """A document with its content hash, or why it cannot be read. An uploaded one has its attributes as metadata."""
    try:
        data = b"" if file.is_row else read_file(file.uri, recipe.limits.max_bytes)
        values = rows.read(file) if file.is_row else None
    except Unreadable as error:
        return Failure(file.source, str(error))
    version = content_hash(file.etag.encode() or data, settings_key)
    try:
        document = reader.parse_table_row(values, file, recipe.table) if values else reader.parse(data, file.source)
    except Unreadable as error:
        return Failure(file.source, str(error), "parse", version)
    if uploaded_files.uploaded_as(file.source):
        attributes = attachments.attributes_of(Path(file.uri), recipe.collection, recipe.tenant)
        document = replace(document, metadata=document.metadata | attributes)
    return version, document


def cut_by(file: DocumentFile, recipe: IngestRecipe) -> ChunkConfig:
    """What a document is cut by: the recipe's settings, but for a size that an uploaded file was attached with."""
    if uploaded_files.uploaded_as(file.source):
        size = attachments.chunk_size_of(Path(file.uri), recipe.collection, recipe.tenant)
        if size is not None:
            return size.over(recipe.chunk)
    return recipe.chunk


def count_notes(document: Document, collection: str) -> None:
    """Count what there is to know about a document that was read, as metrics."""
    for note in document.notes:
        metrics.INGEST_NOTES.labels(collection=metrics.collection_label(collection), kind=note.kind).inc()
