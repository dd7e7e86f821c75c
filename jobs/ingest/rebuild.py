"""Blue and green: an index is made anew beside the one that is searched, and takes its place when its check passes.

In: the recipe and what a run wrote. Out: the next generation of the index in the place of the present one, or an error
and the present one as it was. A rebuild that was killed or failed goes on where it ended when it is run again.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from plait.documents.failure import Failure
from plait.documents.uploads.uploaded_files import uploaded_as
from plait.errors import CollectionNotFound, Conflict, DataError, PlaitError
from plait.index.collection import Index
from plait.index.search import Search
from plait.index.stores.store import Store
from plait.jobs.ingest.embed import wished_vectors
from plait.jobs.ingest.plan import Plan
from plait.recipes import IngestRecipe

_SAMPLES = 50
_MIN_FOUND_SHARE = 0.9  # HNSW is approximate; a wrong index finds nearly none
_SAME_VECTOR = 0.999  # cosine, in case two chunks have the same text


@dataclass(frozen=True)
class Rebuild:
    """A rebuild under way: the index that is searched meanwhile, None for the first, and the generation to fill."""

    store: Store
    current: Index | None
    generation: int

    @classmethod
    def start(cls, recipe: IngestRecipe, store: Store) -> "Rebuild":
        """Begin, or go on with one that was interrupted."""
        try:
            current = Index.open(recipe.collection, store)
        except CollectionNotFound:
            return cls(store, None, 1)
        return cls(store, current, current.generation + 1)

    def opened(self, recipe: IngestRecipe) -> Index | None:
        """The new generation as far as it is filled; None when it is still to be made."""
        try:
            index = Index.open(recipe.collection, self.store, self.generation)
        except CollectionNotFound:
            return None
        if index.vectors != wished_vectors(recipe.embedding, index.vectors) or not index.has_current_words:
            index.drop_generation()  # left by a rebuild with another model, or by an earlier version of Plait
            return None
        return index

    def finish(self, recipe: IngestRecipe, plan: Plan, written: Mapping[str, int], failed: Collection[Failure]) -> None:
        """Check the new generation, put it in the place of the present one, and drop that.

        Args:
            recipe: of the run.
            plan: what it had to do.
            written: documents that this run wrote and kept, with the count of their chunks.
            failed: documents that it could not read.

        Raises:
            PlaitError: when the check fails; the new generation is dropped then.
            Conflict: when documents would be lost; the new generation stays, to go on from.
        """
        new = self.opened(recipe)
        if new is None:
            raise DataError("No document could be read, so there is nothing to put in the place of the index.")
        try:
            _check(new, recipe, written)
        except PlaitError:
            new.drop_generation()
            raise
        self.check_nothing_is_lost(recipe, plan, failed)  # nothing came meanwhile
        new.make_current()
        if self.current is not None:
            self.current.drop_generation()

    def check_nothing_is_lost(self, recipe: IngestRecipe, plan: Plan, failed: Collection[Failure]) -> None:
        """Refuse to go on when the index holds documents that the rebuilt one would not have.

        Raises:
            Conflict: when it does.
        """
        if self.current is None:
            return
        others = self.current.stats().documents_by_tenant.keys() - {recipe.tenant}
        if others:
            raise Conflict(
                f"Collection '{recipe.collection}' also holds documents of {', '.join(sorted(others))}, which a "
                f"rebuild for '{recipe.tenant}' would lose.",
                "Ingest without --rebuild, or keep tenants that are rebuilt in collections of their own.",
            )
        held = self.current.document_states(recipe.tenant).keys()
        unreadable = held & {failure.source for failure in failed}
        if unreadable:
            raise Conflict(
                f"{len(unreadable)} documents that collection '{recipe.collection}' holds cannot be read now, as "
                f"'{min(unreadable)}', and a rebuild would lose them.",
                "Mend them, or take them out of the sources to let them go, and run again.",
            )
        unseen = {source for source in held - plan.sources if uploaded_as(source)}
        if unseen:
            raise Conflict(
                f"Collection '{recipe.collection}' holds {len(unseen)} documents that came over the API and cannot be "
                f"read in this PLAIT_HOME, as '{min(unseen)}', and a rebuild would lose them.",
                "Run it with the PLAIT_HOME of the server, or delete them from the vector store.",
            )
        if not recipe.sync:
            kept = held - plan.sources
            if kept:
                raise Conflict(
                    f"Collection '{recipe.collection}' holds {len(kept)} documents that are not in the sources, as "
                    f"'{min(kept)}', which sync=false keeps and a rebuild would lose.",
                    "Add their sources, or set sync=true to let them go.",
                )


def _check(index: Index, recipe: IngestRecipe, written: Mapping[str, int]) -> None:
    """Every document is whole, and searches for a sample of its chunks find them."""
    states = index.document_states(recipe.tenant)
    broken = [source for source, state in states.items() if not state.is_whole]
    broken += [source for source, count in written.items() if source not in states or states[source].chunks != count]
    if broken:
        raise PlaitError(
            f"{len(broken)} documents of the rebuilt '{recipe.collection}' are not whole, as '{min(broken)}'.",
            "The index is as it was. Run again.",
        )
    chunks = sum(state.chunks for state in states.values())
    sampled = index.first_chunks(recipe.tenant, random.sample(sorted(states), min(_SAMPLES, len(states))))
    found = index.search(Search(1, tenant=recipe.tenant), vectors=sampled.vectors)
    hits = sum(
        bool(best) and (best[0].passage.chunk_id == chunk_id or best[0].passage.score > _SAME_VECTOR)
        for chunk_id, best in zip(sampled.chunk_ids, found, strict=True)
    )
    if hits < _MIN_FOUND_SHARE * len(sampled.chunk_ids):
        raise PlaitError(
            f"In the rebuilt '{recipe.collection}' of {chunks} chunks, {hits} of {len(sampled.chunk_ids)} searches for "
            "a chunk's own vector find it.",
            "The index is as it was. Run again.",
        )
