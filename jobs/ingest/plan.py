"""What a run has to do: which documents are new or changed, which are as they were, which are gone.

In: the documents found and what the index holds. Out: a `Plan`. Every document is read once to hash it, so that an
unchanged one costs no chunking and no embedding, and a run with nothing to do starts no cluster.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

from plait.index.collection import DocumentState
from plait.index.quarantine import Failure
from plait.index.schema import MAX_SOURCE_BYTES
from plait.jobs.ingest.read import DocumentFile, Found, content_hash
from plait.recipes import IngestRecipe

_READERS = 8  # reading waits for the disk, hashing releases the GIL


@dataclass(frozen=True)
class Plan:
    """`changed` documents are new ones too; `gone` are names in the index that the sources no longer have."""

    changed: tuple[DocumentFile, ...]
    unchanged: tuple[str, ...]
    gone: tuple[str, ...]
    failed: tuple[Failure, ...]

    @property
    def document_count(self) -> int:
        """Documents in the sources."""
        return len(self.changed) + len(self.unchanged) + len(self.failed)


def make_plan(
    recipe: IngestRecipe,
    found: Found,
    states: Mapping[str, DocumentState],
    settings_hash: str,
    quarantined: Mapping[str, Failure] = MappingProxyType({}),
) -> Plan:
    """Compare the documents found with the `states` that the index holds, by content hash.

    A document that failed as it now is, with the settings of now, is in `quarantined` and is not tried again.
    """
    changed: list[DocumentFile] = []
    unchanged: list[str] = []
    failed: list[Failure] = []

    def hash_of(document: DocumentFile) -> str | Failure:
        try:
            if len(document.source.encode()) > MAX_SOURCE_BYTES:
                return Failure(document.source, f"its path is longer than {MAX_SOURCE_BYTES} bytes")
            return content_hash(document.path.read_bytes(), settings_hash)
        except UnicodeEncodeError:
            return Failure(ascii(document.source), "its name is not UTF-8")
        except OSError as error:
            return Failure(document.source, f"it cannot be read ({error.strerror})")

    with ThreadPoolExecutor(_READERS) as readers:
        for document, outcome in zip(found.documents, readers.map(hash_of, found.documents), strict=True):
            state = states.get(document.source)
            if isinstance(outcome, Failure):
                failed.append(outcome)
            elif state is not None and state.is_exactly(outcome):
                unchanged.append(document.source)
            elif (known := quarantined.get(document.source)) is not None and known.content_hash == outcome:
                failed.append(known)
            else:
                changed.append(document)
    gone = states.keys() - {document.source for document in found.documents} if recipe.sync else set()
    return Plan(tuple(changed), tuple(unchanged), tuple(sorted(gone)), tuple(failed))
