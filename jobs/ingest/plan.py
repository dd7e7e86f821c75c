"""What a run has to do: which documents are new or changed, which are as they were, which are gone.

In: the documents found and what the index holds. Out: a `Plan`. Every document is read once to hash it (in an object
store its etag is enough), so that an unchanged one costs no chunking and no embedding, and a run with nothing to do
starts no cluster.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType

from plait.documents.chunker import settings_hash
from plait.documents.failure import NOTED, Failure, Unreadable
from plait.documents.load import cut_by
from plait.documents.read import DocumentFile, Found, content_hash
from plait.documents.rows import UnnamedRow, row_documents
from plait.documents.stores import blocks_of
from plait.documents.uploads.uploaded_files import uploaded_as
from plait.index.document_state import DocumentState
from plait.index.schema import MAX_SOURCE_BYTES
from plait.recipes import IngestRecipe

_READERS = 8  # reading waits for the disk, hashing releases the GIL


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        changed: documents to write; new ones too.
        unchanged: documents that the index holds whole and as they are.
        gone: names in the index that the sources no longer have.
        withheld: names that would be gone, but any of them may be a row of which no id can be read now.
        failed: documents that cannot even be hashed, or failed as they are in an earlier run.
        versions: content hash by name, of changed and unchanged documents.
        noted: tables that are read with something to know about them.
        repeated_rows: rows without an id whose content is that of another; they are the same document.
    """

    changed: tuple[DocumentFile, ...]
    unchanged: tuple[DocumentFile, ...]
    gone: tuple[str, ...]
    failed: tuple[Failure, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    repeated_rows: int = 0
    withheld: tuple[str, ...] = ()
    noted: tuple[Failure, ...] = ()

    @property
    def document_count(self) -> int:
        """Documents in the sources."""
        return len(self.changed) + len(self.unchanged) + len(self.failed)

    @property
    def sources(self) -> set[str]:
        """Names of the documents in the sources."""
        documents = {document.source for document in (*self.changed, *self.unchanged)}
        return documents | {failure.source for failure in self.failed}


def make_plan(
    recipe: IngestRecipe,
    found: Found,
    states: Mapping[str, DocumentState],
    version: str,
    quarantined: Mapping[str, Failure] = MappingProxyType({}),
) -> Plan:
    """Compare the documents found with the `states` that the index holds, by content hash.

    `version`: of the recipe's settings, by `settings_hash()`; an uploaded file may have a chunk size of its own.
    A document that failed as it now is, with the settings of now, is in `quarantined` and is not tried again.
    """
    changed: list[DocumentFile] = []
    unchanged: list[DocumentFile] = []
    failed: list[Failure] = []
    noted: list[Failure] = []
    versions: dict[str, str] = {}
    repeated_rows = 0
    is_a_row_unnamed = False

    def hash_of(document: DocumentFile) -> str | Failure:
        try:
            if len(document.source.encode()) > MAX_SOURCE_BYTES:
                return Failure(document.source, f"its name is longer than {MAX_SOURCE_BYTES} bytes")
            document.uri.encode()  # a folder above a document may have a name that cannot be sent to a worker
            chunk = cut_by(document, recipe)
            settings = version if chunk == recipe.chunk else settings_hash(chunk, recipe.embedding.made_with)
            return content_hash(document.etag.encode() or blocks_of(document.uri, recipe.limits.max_bytes), settings)
        except UnicodeEncodeError:
            return Failure(document.source.encode(errors="backslashreplace").decode(), "its path is not UTF-8")
        except Unreadable as error:
            return Failure(document.source, str(error))

    def place(document: DocumentFile, outcome: str | Failure) -> None:
        if isinstance(outcome, Failure):
            failed.append(outcome)
            return
        state, known = states.get(document.source), quarantined.get(document.source)
        is_there = state is not None and state.is_exactly(outcome)
        if not is_there and known is not None and known.content_hash == outcome:
            failed.append(known)
            return
        versions[document.source] = outcome
        (unchanged if is_there else changed).append(document)

    names = {document.source for document in found.documents}
    with ThreadPoolExecutor(_READERS) as readers:
        for document, outcome in zip(found.documents, readers.map(hash_of, found.documents), strict=True):
            place(document, outcome)
    for row in row_documents(found.tables, recipe.table):
        if isinstance(row, UnnamedRow):
            failed.append(row.failure)
            is_a_row_unnamed = True
            continue
        if isinstance(row, Failure) and row.step == NOTED:
            noted.append(row)
            continue
        if isinstance(row, Failure):
            failed.append(row)
        elif row.source not in names:
            place(row, hash_of(row))
        elif recipe.table.id:
            failed.append(Failure(f"a second {row.source}", f"its '{recipe.table.id}' is that of another document"))
        else:
            repeated_rows += 1
        names.add(row.source)
    # What was uploaded goes when it is deleted over the API, also where this machine does not see the file.
    missing = tuple(sorted(n for n in states.keys() - names if not uploaded_as(n))) if recipe.sync else ()
    # Without an id a row is named by its content, so a broken one is a new document anyhow, and the old one goes.
    is_withheld = is_a_row_unnamed and recipe.table.id is not None
    return Plan(
        changed=tuple(changed),
        unchanged=tuple(unchanged),
        gone=() if is_withheld else missing,
        withheld=missing if is_withheld else (),
        failed=tuple(failed),
        versions=versions,
        repeated_rows=repeated_rows,
        noted=tuple(noted),
    )
