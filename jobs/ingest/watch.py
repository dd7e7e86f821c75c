"""Keep an index in step with folders: ingest, and again whenever something in the sources changes.

In: a recipe. Out: a report of every run that did something, until Ctrl-C or SIGTERM. A run that fails is told, and
tried again.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plait.errors import CollectionNotFound, InvalidInput, PlaitError
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.interruption import on_interrupt
from plait.jobs.ingest.job import IngestReport, ingest
from plait.observability import metrics
from plait.recipes import IngestRecipe

# An editor or a checkout changes many files in a moment: wait until it is quiet for as long, at most so long in all.
_QUIET_MS = 300
_AT_MOST_MS = 3_000
_LOOK_EVERY_MS = 500
_TRY_AGAIN_S = 10.0
_NOTE_EVERY_S = 60.0
"""How often the index itself notes that nothing has changed."""


def watch(recipe: IngestRecipe, told: Callable[[IngestReport], None], failed: Callable[[PlaitError], None]) -> None:
    """Follow the recipe's sources until Ctrl-C or SIGTERM; an interrupted run is completed by the next.

    Args:
        recipe: its first run is that of `ingest`.
        told: gets the report of the first run, and of every later one that changed something.
        failed: gets the error of a run after the first; it is tried again after 10 s, or with the next change.

    Raises:
        InvalidInput: when a source is no file or folder of this machine.
        PlaitError: when the first run fails.
    """
    for source in recipe.sources:
        if not Path(source).expanduser().exists():
            raise InvalidInput(f"'{source}' cannot be watched.", "Watch files and folders of this machine.")
    from watchfiles import watch as changes

    tried_at: float | None = None
    noted_at = time.monotonic()
    is_behind = True
    with _stopped_by_a_signal() as is_over:
        # The first look comes before the first run, so that what changes during it is seen.
        for changed in changes(
            *(_watched(Path(source).expanduser()) for source in recipe.sources),
            watch_filter=None,  # the run itself knows which files it reads
            step=_QUIET_MS,
            debounce=_AT_MOST_MS,
            rust_timeout=_LOOK_EVERY_MS,
            yield_on_timeout=True,
            stop_event=is_over,
        ):
            is_first = tried_at is None
            is_time = tried_at is None or time.monotonic() - tried_at > _TRY_AGAIN_S
            if not changed and not is_behind:
                metrics.INGEST_IN_STEP.labels(collection=recipe.collection).set(time.time())
                if time.monotonic() - noted_at > _NOTE_EVERY_S:
                    noted_at = time.monotonic()
                    try:
                        _note_in_step(recipe.collection)
                    except PlaitError as error:
                        is_behind = True
                        failed(error)
            if not changed and not (is_behind and is_time):
                continue
            tried_at = time.monotonic()
            try:
                report = ingest(recipe)
            except PlaitError as error:
                if is_first:
                    raise
                is_behind = True
                failed(error)
                continue
            is_behind = False
            if is_first or report.written or report.removed or report.failed:
                told(report)


def _note_in_step(collection: str) -> None:
    with suppress(CollectionNotFound):  # the sources hold no document yet
        Index.open(collection, connect_store()).note_in_step(time.time())


@contextmanager
def _stopped_by_a_signal() -> Iterator[threading.Event]:
    """Leave the block at Ctrl-C or SIGTERM. The event is for when a library at work has swallowed the exception."""
    is_over = threading.Event()

    def interrupt() -> None:
        is_over.set()
        raise KeyboardInterrupt

    try:
        with on_interrupt(interrupt):
            yield is_over
    except KeyboardInterrupt:
        return


def _watched(source: Path) -> Path:
    """A file's folder: an editor that saves a file anew puts another one in its place."""
    return source if source.is_dir() else source.parent
