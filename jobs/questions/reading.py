"""The documents of a recipe as a corpus: read, and cut into the passages that an ingestion would index."""

from dataclasses import dataclass

from plait.documents.chunk import Chunk
from plait.documents.chunker import Origin, settings_hash
from plait.documents.failure import NOTED, Failure, Unreadable
from plait.documents.formats import decode
from plait.documents.load import load
from plait.documents.parse import Document
from plait.documents.read import DocumentFile, find_documents
from plait.documents.reader import DocumentReader
from plait.documents.rows import RowReader, UnnamedRow, row_documents
from plait.documents.stores import read_file
from plait.errors import DataError
from plait.jobs.evaluate.progress import shown
from plait.models.source import resolve_model
from plait.questions.corpus import Corpus
from plait.recipes import IngestRecipe


@dataclass(frozen=True)
class ReadCorpus:
    """A corpus, and what of the sources could not be read."""

    corpus: Corpus
    failed: tuple[Failure, ...]


def read_corpus(recipe: IngestRecipe) -> ReadCorpus:
    """Read and cut all documents of a recipe's sources, in the order of their names.

    Raises:
        DataError: when a source does not exist, or no document can be read.
        ModelNotFound: when there is no tokenizer of the embedding model.
    """
    key = settings_hash(recipe.chunk, recipe.embedding.made_with)
    files, failed = _documents(recipe)
    documents: dict[str, Document] = {}
    passages: list[Chunk] = []
    editable: set[str] = set()
    folder = resolve_model(recipe.embedding.tokenizer_source)
    reader = DocumentReader(recipe.limits)
    with RowReader(recipe.table) as rows, shown("read documents", len(files)) as advance:
        for file in files:
            advance()
            outcome = load(file, recipe, key, rows, reader)
            if isinstance(outcome, Failure):
                failed.append(outcome)
                continue
            version, document = outcome
            try:
                origin = Origin(recipe.tenant, file.source, version, 0)
                passages += reader.chunk(document, origin, folder, recipe.chunk, key)
            except Unreadable as error:
                failed.append(Failure(file.source, str(error)))
                continue
            documents[file.source] = document
            if _is_its_text(file, document, recipe.limits.max_bytes):
                editable.add(file.source)
    reader.close()
    if not documents:
        raise DataError(f"No document can be read: {failed[0].source}: {failed[0].reason}.", "Mend the sources.")
    return ReadCorpus(Corpus(documents, passages, frozenset(editable)), tuple(failed))


def _documents(recipe: IngestRecipe) -> tuple[list[DocumentFile], list[Failure]]:
    found = find_documents(recipe.sources, with_tables=recipe.table.text is not None)
    files, failed = list(found.documents), []
    for row in row_documents(found.tables, recipe.table):
        if isinstance(row, DocumentFile):
            files.append(row)
        elif isinstance(row, UnnamedRow):
            failed.append(row.failure)
        elif row.step != NOTED:
            failed.append(row)
    return sorted(files, key=lambda file: file.source), failed


def _is_its_text(file: DocumentFile, document: Document, max_bytes: int) -> bool:
    """Whether a file holds the document's text and nothing else, so that another text makes a copy of it."""
    if file.is_row:
        return False
    try:
        text = decode(read_file(file.uri, max_bytes)).text
    except Unreadable:
        return False
    return text.replace("\r\n", "\n").replace("\r", "\n") == document.text
