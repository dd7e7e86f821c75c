"""The index of a comparison: as the documents were when adapters learned of them, and as they are now.

In: a recipe. Out: an index that holds the one or the other, and how long it took to bring it there. Both states can be
told apart without an index, by the bytes of the documents.
"""

from hashlib import sha256

from plait.documents.read import content_hash, find_documents
from plait.documents.stores import blocks_of
from plait.errors import DataError
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

    def check(self) -> None:
        """Find out that there are no documents, or that nothing changed in them.

        Raises:
            DataError: when it is so.
        """
        before = _states(self._as_before)
        if self._changed is None:
            return
        where, now = self._changed.sources[0], _states(self._changed)
        both = now.keys() & before.keys()
        if not both:
            raise DataError(
                f"No document of '{where}' has the name of one that it takes the place of, as '{min(now)}'.",
                f"Name them as they are in the sources, as '{min(before)}'.",
            )
        if (new := now.keys() - both) and not self._as_before.sync:
            raise DataError(
                f"'{min(new)}' of '{where}' is new, and stays in the index when what changed is taken back.",
                "Set ingest.sync=true, or leave it out.",
            )
        if all(now[name] == before[name] for name in both):
            raise DataError(f"The documents of '{where}' are as they were in the sources.", "Put the new ones there.")

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
    how = recipe.model_dump_json(exclude={"sources", "collection"})
    states = sorted(f"{name} {state}" for name, state in _states(recipe).items())
    return sha256("\n".join([how, *states]).encode()).hexdigest()


def _states(recipe: IngestRecipe) -> dict[str, str]:
    """What tells the versions of each document, or table of documents, apart; by its name."""
    found = find_documents(recipe.sources, with_tables=recipe.table.text is not None)
    most = recipe.limits.max_bytes
    states = {each.source: each.etag or content_hash(blocks_of(each.uri, most), "") for each in found.documents}
    tables = {each.name: each.etag or content_hash(blocks_of(each.uri, most), "") for each in found.tables}
    return states | tables
