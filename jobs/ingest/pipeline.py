"""The pipeline of a run over Ray Data: read, parse and chunk, embed, write, all at once, streaming.

In: the documents to index. Out: nothing but what is in the index and in the ledger afterwards. Documents flow through
in blocks of a few, so memory does not grow with their number.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from plait.documents.chunk import Chunk, chunk_table
from plait.documents.chunker import Origin, settings_hash
from plait.documents.failure import NOTED, Failure, Unreadable
from plait.documents.load import count_notes, cut_by, load
from plait.documents.parse import Document
from plait.documents.read import DocumentFile, file_table
from plait.documents.reader import DocumentReader
from plait.documents.rows import RowReader
from plait.errors import PlaitError, find_plait_error
from plait.index.stores.store import Store
from plait.jobs.ingest.dedup import Candidate
from plait.jobs.ingest.duplicates import fingerprint
from plait.jobs.ingest.embed import Embed, batch_size_of
from plait.jobs.ingest.write import Write
from plait.local.ray_data import set_up_ray_data
from plait.models.source import is_endpoint
from plait.models.vectors import Prompts
from plait.observability import metrics
from plait.recipes import ChunkConfig, DocumentLimits, IngestRecipe

_FILES_A_BLOCK = 8
_ROWS_A_BLOCK = 256
# Chunks to embed: more to sort by length give less padding, fewer show progress sooner.
_BATCHES_A_BLOCK, _CHUNKS_A_BLOCK = 4, 128
# A stage passes on what it has when it is so much: about 100 chunks with their vectors, which are searchable a few
# seconds after they are embedded, while the rest of their documents still is. Ray's own 128 MiB hold them back.
_MOST_BYTES_A_BLOCK = 256 * 1024

# Logical CPUs, small enough that a run fits beside a serving application on two: 0.25 + 0.5 + 0.25.
_CHUNK_CPUS = 0.25
_EMBED_CPUS = 0.5
_WRITE_CPUS = 0.25


@dataclass(frozen=True)
class Workplace:
    """What the stages need besides the recipe: the tokenizer's folder, the model's prompts, the index's store and
    generation (None: the one that is searched), the run's ledger, and the filter of duplicates (None: all are
    written)."""

    tokenizer_folder: Path
    prompts: Prompts
    store: Store
    generation: int | None
    ledger: Any
    duplicate_filter: Any = None


def run_pipeline(recipe: IngestRecipe, documents: Sequence[DocumentFile], workplace: Workplace) -> None:
    """Bring documents into the index. Ray must be connected.

    Raises:
        PlaitError: when a stage fails; documents that cannot be read are told to the ledger instead.
    """
    set_up_ray_data()
    context = ray.data.DataContext.get_current().copy()  # other pipelines of this process keep theirs
    context.target_max_block_size = _MOST_BYTES_A_BLOCK
    remote = is_endpoint(recipe.embedding.model)  # one worker then: it keeps many requests under way, and their pace
    gpus = 0 if remote else int(ray.cluster_resources().get("GPU", 0))
    machines = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())
    cores = int(ray.cluster_resources().get("CPU", 1))
    # Where an embedder computes on the same cores, more would only wait for it, and hold it up while it starts.
    chunkers = cores if remote or gpus else max(1, cores // 2)
    embedders = 1 if remote else max(1, gpus or machines)
    batch_size = batch_size_of(recipe, on_gpu=gpus > 0)
    with ray.data.DataContext.current(context):
        chunks = ray.data.from_arrow(in_blocks(documents)).map_batches(
            chunk_files,
            fn_args=(recipe, workplace.tokenizer_folder, workplace.ledger, workplace.duplicate_filter),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.TaskPoolStrategy(size=chunkers),
            num_cpus=_CHUNK_CPUS,
        )
        vectors = chunks.map_batches(
            Embed,
            fn_constructor_args=(recipe, workplace.prompts, batch_size, workplace.ledger),
            batch_size=min(_BATCHES_A_BLOCK * batch_size, max(_CHUNKS_A_BLOCK, batch_size)),
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=embedders),
            num_cpus=_EMBED_CPUS,
            num_gpus=1 if gpus else 0,
        )
        written = vectors.map_batches(
            Write,
            fn_constructor_args=(recipe, workplace.prompts, workplace.store, workplace.generation, workplace.ledger),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=_WRITE_CPUS,
        )
    try:
        for _ in written.iter_batches(batch_size=None, batch_format="pyarrow"):
            pass  # the stages do the work and tell the ledger
    except Exception as error:
        cause = (
            getattr(error, "cause", None) or error
        )  # Ray's error is of the cause's class too, but prints a traceback
        raise find_plait_error(cause) or PlaitError(
            f"Ingestion failed ({_reason(cause)}).",
            "What was written stays; run again to go on. --debug shows the workers' traceback.",
        ) from error


def _reason(cause: BaseException) -> str:
    """What a stage raised, in one line."""
    lines = str(cause).strip().splitlines()  # the first is the stage's, the others are advice by Ray Data
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__


def in_blocks(documents: Sequence[DocumentFile]) -> list[pa.Table]:
    """Tables of FILE_SCHEMA with a few files, or some rows of tables, each."""
    in_order = sorted(documents, key=attrgetter("source"))  # so that the first of two duplicates mostly comes first
    files = [document for document in in_order if not document.is_row]
    rows = [document for document in in_order if document.is_row]
    blocks = [*_growing(files, _FILES_A_BLOCK), *_growing(rows, _ROWS_A_BLOCK)]
    return [file_table(block) for block in blocks]


def _growing(documents: Sequence[DocumentFile], most: int) -> Iterator[Sequence[DocumentFile]]:
    """Blocks of one, two, four, … documents: the first is soon through, and something can be found."""
    start, size = 0, 1
    while start < len(documents):
        yield documents[start : start + size]
        start, size = start + size, min(2 * size, most)


def chunk_files(
    files: pa.Table, recipe: IngestRecipe, tokenizer_folder: Path, ledger: Any, duplicate_filter: Any = None
) -> pa.Table:
    """Documents (FILE_SCHEMA) to their chunks (CHUNK_SCHEMA); those that cannot be read go to the ledger.

    `duplicate_filter` says which documents to drop because they repeat others.
    """
    reader = _reader(recipe.limits)
    documents, cut = _read(files, recipe, ledger, reader)
    if duplicate_filter is not None:
        candidates = [
            Candidate(source, version, fingerprint(document, recipe.dedup))
            for source, (version, document) in documents.items()
        ]
        admitted: set[str] = ray.get(duplicate_filter.admit.remote(candidates))
        ray.get(ledger.record_skipped.remote(documents.keys() - admitted))
        documents = {source: documents[source] for source in documents if source in admitted}
    now_ms = int(time.time() * 1000)
    chunks: list[Chunk] = []
    for source, (version, document) in documents.items():
        origin = Origin(recipe.tenant, source, version, now_ms)
        try:
            chunks += reader.chunk(document, origin, tokenizer_folder, *cut[source])
        except Unreadable as error:
            _report(Failure(source, str(error), "parse", version), recipe, ledger)
            continue
        if document.notes:
            reason = "; ".join(note.text for note in document.notes)
            ray.get(ledger.record_noted.remote(Failure(source, reason, NOTED, version)))
            count_notes(document, recipe.collection)
    return chunk_table(chunks)


def _read(
    files: pa.Table, recipe: IngestRecipe, ledger: Any, reader: DocumentReader
) -> tuple[dict[str, tuple[str, Document]], dict[str, tuple[ChunkConfig, str]]]:
    """The documents that can be read, with their content hashes; and what each is cut by, with the settings' hash."""
    documents, cut = {}, {}
    with RowReader(recipe.table) as rows:
        for file in (DocumentFile(**fields) for fields in files.to_pylist()):
            chunk = cut_by(file, recipe)
            settings_key = settings_hash(chunk, recipe.embedding.made_with)
            outcome = load(file, recipe, settings_key, rows, reader)
            if isinstance(outcome, Failure):
                _report(outcome, recipe, ledger)
            else:
                documents[file.source] = outcome
                cut[file.source] = chunk, settings_key
    return documents, cut


def _report(failure: Failure, recipe: IngestRecipe, ledger: Any) -> None:
    ray.get(ledger.record_failure.remote(failure))
    metrics.DOCUMENTS.labels(collection=recipe.collection, outcome="failed").inc()


@cache
def _reader(limits: DocumentLimits) -> DocumentReader:
    """One a process, with a process of its own: starting that takes longer than reading a few documents."""
    return DocumentReader(limits)
