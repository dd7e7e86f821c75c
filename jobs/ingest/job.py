"""Ingestion as a job: documents into an index.

In: an `IngestRecipe`. Out: an `IngestReport`. Running it again does only what has changed; a run that was killed is
completed by the next, and the index is then the same as if nothing had happened.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

from plait.documents.chunker import settings_hash
from plait.documents.failure import NOTED, Failure
from plait.documents.listing import LeftOut
from plait.documents.read import find_documents, with_uploaded
from plait.errors import CollectionNotFound, DataError, PlaitError
from plait.index.collection import Index
from plait.index.freshness import Freshness
from plait.index.only_writer import only_writer
from plait.index.quarantine import Quarantine
from plait.index.stores.connect import connect_store
from plait.index.stores.store import Store
from plait.jobs.ingest.dedup import Deduplication
from plait.jobs.ingest.embed import prompts_of, wished_vectors
from plait.jobs.ingest.ledger import Ledger, Progress
from plait.jobs.ingest.plan import Plan, make_plan
from plait.jobs.ingest.progress import shown
from plait.jobs.ingest.rebuild import Rebuild
from plait.local.machines import check_all_reach_milvus, start_beside_driver
from plait.models.source import resolve_model
from plait.observability import metrics
from plait.recipes import IngestRecipe

_FAILURES_IN_ERROR = 3


@dataclass(frozen=True)
class IngestReport:
    """What a run did. Counts are of documents, but for `chunks_written`."""

    collection: str
    tenant: str
    written: int
    unchanged: int
    duplicates: int
    """Dropped because they repeat another document."""
    removed: int
    withheld: int
    """Kept though the sources do not have them: any of them may be a row of which no id can be read now."""
    failed: tuple[Failure, ...]
    noted: tuple[Failure, ...]
    """Documents and tables that this run read with something to know about them, as pages without text."""
    skipped: dict[str, int]
    """Files of unknown formats, by suffix."""
    left_out: tuple[LeftOut, ...]
    """Pipes, devices, and links that lead out of their source or nowhere."""
    chunks_written: int
    unknown_chunks: int
    """Of which the embedding model knows less than half of the letters."""
    seconds: float


@dataclass(frozen=True)
class _Written:
    """What the pipeline did: documents with their chunk counts, when each was whole in the index, all failures, and
    what was noted of documents that were read."""

    documents: dict[str, int]
    at: dict[str, float]
    failed: tuple[Failure, ...]
    noted: tuple[Failure, ...] = ()
    unknown_chunks: int = 0


def ingest(recipe: IngestRecipe, retry_quarantined: bool = False, rebuild: bool = False) -> IngestReport:
    """Bring the documents of the recipe's sources into its collection.

    Documents that cannot be read go to the quarantine, and are tried again when they have changed, or all of them with
    `retry_quarantined`. With `rebuild` everything is done anew, in a new collection that takes the place of the present
    one when it is whole.

    Raises:
        PlaitError: one of its kinds for everything that is wrong with recipe, sources, model, Milvus or cluster, and
            when more than `max_bad_share` of the documents cannot be read. What was written until then stays.
    """
    started, looked_at = time.monotonic(), time.time()
    in_sources = find_documents(recipe.sources, with_tables=recipe.table.text is not None)
    found = with_uploaded(in_sources, recipe.collection, recipe.tenant)
    store = connect_store()
    with only_writer(store, recipe.collection, recipe.tenant):
        rebuilding = Rebuild.start(recipe, store) if rebuild else None
        index = rebuilding.opened(recipe) if rebuilding else _open_index(recipe, store)
        generation = rebuilding.generation if rebuilding else None
        states = index.document_states(recipe.tenant) if index else {}
        quarantine = Quarantine(store, recipe.collection)
        entries = {entry.failure.source: entry.failure for entry in quarantine.entries(recipe.tenant)}
        held = {source: failure for source, failure in entries.items() if failure.step != NOTED}
        version = settings_hash(recipe.chunk, recipe.embedding.made_with)
        plan = make_plan(recipe, found, states, version, {} if retry_quarantined or rebuild else held)
        if rebuilding:
            rebuilding.check_nothing_is_lost(recipe, plan, plan.failed)
        dedup = Deduplication(recipe, plan)
        done = _write(recipe, plan, dedup, store, generation)
        written, failed = done.documents, done.failed
        if written:
            now = Index.open(recipe.collection, store, generation)
            now.flush()
            if index and not rebuilding:  # a first run's documents did not change, they are only new to us
                _note_freshness(now, plan, done.at)
            index = now
        _keep(quarantine, recipe, plan, entries, (*failed, *done.noted))
        _check_bad_share(recipe, plan, failed, rebuild)
        to_delete = dedup.superfluous(states) | set(plan.gone)
        if index and to_delete:
            index.delete_documents(recipe.tenant, to_delete)
        duplicates = dedup.duplicates
        kept = {source: count for source, count in written.items() if source not in duplicates}
        if rebuilding:
            rebuilding.finish(recipe, plan, kept, failed)
        if index:
            index.note_in_step(looked_at)
    unchanged = sum(document.source not in duplicates for document in plan.unchanged)
    metrics.INGEST_NOTES.labels(collection=recipe.collection, kind="encoding_guessed").inc(len(plan.noted))
    duplicate_count = len(duplicates) + plan.repeated_rows
    metrics.INGEST_IN_STEP.labels(collection=recipe.collection).set(looked_at)
    _count(recipe, unchanged=unchanged, removed=len(plan.gone), failed=len(plan.failed), duplicate=duplicate_count)
    return IngestReport(
        collection=recipe.collection,
        tenant=recipe.tenant,
        written=len(kept),
        unchanged=unchanged,
        duplicates=duplicate_count,
        removed=len(plan.gone),
        withheld=len(plan.withheld),
        failed=failed,
        noted=done.noted,
        skipped=found.skipped,
        left_out=found.left_out,
        chunks_written=sum(written.values()),
        unknown_chunks=done.unknown_chunks,
        seconds=time.monotonic() - started,
    )


def _open_index(recipe: IngestRecipe, store: Store) -> Index | None:
    """The collection, or None when it is still to be made."""
    try:
        index = Index.open(recipe.collection, store)
    except CollectionNotFound:
        return None
    index.check_vectors(wished_vectors(recipe.embedding, index.vectors))
    index.check_words()
    return index


def _write(recipe: IngestRecipe, plan: Plan, dedup: Deduplication, store: Store, generation: int | None) -> _Written:
    """Run the pipeline over what has changed. Without changes Ray is not even started."""
    to_write, to_read = dedup.to_write, dedup.to_read
    if not to_write and not to_read:
        return _Written({}, {}, plan.failed, plan.noted)
    embedding = recipe.embedding
    tokenizer_folder = resolve_model(embedding.tokenizer_source)
    prompts = prompts_of(embedding)

    from plait.local.ray_head import connect

    connect(meanwhile=partial(import_module, "ray.data"))  # not imported before: it sets how Ray authenticates
    check_all_reach_milvus()

    import ray

    from plait.jobs.ingest.pipeline import Workplace, run_pipeline

    ledger, duplicate_filter = start_beside_driver(Ledger), dedup.start_filter()
    workplace = Workplace(tokenizer_folder, prompts, store, generation, ledger)

    def progress() -> Progress:
        latest: Progress = ray.get(ledger.progress.remote())
        return latest

    with shown(progress, f"ingest {recipe.collection}", len(to_write) + len(to_read)):
        run_pipeline(recipe, [*to_write, *to_read], replace(workplace, duplicate_filter=duplicate_filter))
        if duplicate_filter is not None:
            unreadable = [failure.source for failure in ray.get(ledger.failures.remote())]
            candidates, admitted = ray.get(duplicate_filter.outcome.remote())
            dedup.learn(candidates, admitted, unreadable)
        if dedup.missing:
            run_pipeline(recipe, dedup.missing, workplace)
    written: dict[str, int] = ray.get(ledger.written.remote())
    failed: list[Failure] = ray.get(ledger.failures.remote())
    to_do = {document.source for document in plan.changed} - dedup.duplicates.keys()
    lost = to_do - written.keys() - {failure.source for failure in failed}
    if lost:
        raise PlaitError(f"{len(lost)} documents did not reach the index, as '{min(lost)}'.", "Run again.")
    written_at: dict[str, float] = ray.get(ledger.written_at.remote())
    return _Written(
        written,
        written_at,
        (*plan.failed, *failed),
        (*plan.noted, *ray.get(ledger.noted.remote())),
        ray.get(ledger.unknown_chunks.remote()),
    )


def _note_freshness(index: Index, plan: Plan, written_at: Mapping[str, float]) -> None:
    """How long after its change each document could be found, as a metric and for `plait collections show`."""
    seconds = []
    for document in plan.changed:
        try:
            status = Path(document.uri).stat()
        except OSError:  # in a bucket, or gone since
            continue
        if document.source in written_at:
            # A file that was moved or copied here keeps its time of modification; ctime is when it came.
            seconds.append(max(0.0, written_at[document.source] - max(status.st_mtime, status.st_ctime)))
            metrics.INGEST_FRESHNESS_SECONDS.labels(collection=index.name).observe(seconds[-1])
    if seconds:
        index.note_freshness(Freshness.of(seconds, int(time.time() * 1000)))


def _keep(
    quarantine: Quarantine, recipe: IngestRecipe, plan: Plan, entries: Mapping[str, Failure], now: Collection[Failure]
) -> None:
    """Let the quarantine hold what failed or was noted `now`, and nothing that was read or, with sync, is gone.

    `entries`: what it held before. A note stays as long as its document is as it was.
    """
    quarantine.put(recipe.tenant, (entry for entry in now if entries.get(entry.source) != entry))
    as_noted = {d.source for d in plan.unchanged if d.source in entries and entries[d.source].step == NOTED}
    mended = entries.keys() - {entry.source for entry in now} - as_noted
    if not recipe.sync:
        mended &= plan.sources
    quarantine.release(recipe.tenant, mended)


def _check_bad_share(recipe: IngestRecipe, plan: Plan, failed: tuple[Failure, ...], rebuild: bool) -> None:
    if len(failed) <= recipe.max_bad_share * plan.document_count:
        return
    shown_failures = "; ".join(f"{failure.source}: {failure.reason}" for failure in failed[:_FAILURES_IN_ERROR])
    more = f"; and {len(failed) - _FAILURES_IN_ERROR} more" if len(failed) > _FAILURES_IN_ERROR else ""
    if rebuild:
        rest = "The index is as it was."
    else:
        rest = "The others are in the index." if len(failed) < plan.document_count else "Nothing was written."
    raise DataError(
        f"{len(failed)} of {plan.document_count} documents cannot be read, more than the {recipe.max_bad_share:.0%} "
        f"that max_bad_share allows ({shown_failures}{more}).",
        f"{rest} Mend or remove the bad ones "
        f"(plait collections quarantine {recipe.collection}), or raise max_bad_share.",
    )


def _count(recipe: IngestRecipe, **counts: int) -> None:
    """Count what no worker saw."""
    for outcome, count in counts.items():
        metrics.DOCUMENTS.labels(collection=recipe.collection, outcome=outcome).inc(count)
