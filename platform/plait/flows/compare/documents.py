"""The index of a comparison: as the documents were when adapters learned of them, and as they are now.

In: a recipe. Out: an index that holds the one or the other, and how long it took to bring it there. Both states can be
told apart without an index, by the bytes of the documents.
"""

from hashlib import sha256

from plait.documents.read import content_hash, find_documents
from plait.documents.stores import blocks_of
from plait.jobs.compare.findings import Indexing
from plait.jobs.ingest.job import IngestReport, ingest
from plait.recipes import CompareRecipe, IngestRecipe


class Documents:
    """The documents of a recipe, before and after what changed."""

    def __init__(self, recipe: CompareRecipe) -> None:
        self._as_before = recipe.ingest
        self._changed = None
        if recipe.changed is not None:
            # They lie over the others: what they do not name stays as it is.
            self._changed = recipe.ingest.model_copy(update={"sources": [recipe.changed.documents], "sync": False})

    def index_as_before(self) -> Indexing:
        """Bring the index to what the documents were."""
        return _indexing("indexed", ingest(self._as_before))

    def index_as_now(self) -> Indexing:
        """Bring the changed documents into the index, which has what they were.

        Raises:
            ValueError: where the recipe names none.
        """
        if self._changed is None:
            raise ValueError("nothing changed")
        return _indexing("indexed what changed", ingest(self._changed))

    def fingerprint(self, as_now: bool) -> str:
        """Of all that answers from the index follow from in one of its states."""
        parts = [self._as_before, self._changed] if as_now and self._changed is not None else [self._as_before]
        return sha256("".join(_fingerprint(part) for part in parts).encode()).hexdigest()


def _indexing(what: str, done: IngestReport) -> Indexing:
    print(f"{what}: {done.written} documents written, {done.unchanged} as they were, {done.seconds:.0f} s", flush=True)
    return Indexing(done.written, done.chunks_written, done.seconds if done.written and not done.unchanged else None)


def _fingerprint(recipe: IngestRecipe) -> str:
    found = find_documents(recipe.sources, with_tables=recipe.table.text is not None)
    how = recipe.model_dump_json(exclude={"sources", "collection"})
    each = [
        f"{document.source} {document.etag or content_hash(blocks_of(document.uri, recipe.limits.max_bytes), '')}"
        for document in found.documents
    ]
    tables = [
        f"{table.name} {table.etag or content_hash(blocks_of(table.uri, recipe.limits.max_bytes), '')}"
        for table in found.tables
    ]
    return sha256("\n".join([how, *sorted(each), *sorted(tables)]).encode()).hexdigest()
