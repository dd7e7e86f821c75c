"""The fingerprints of a run's documents, kept for the next run.

In and out: fingerprints by content hash, in a Parquet file of this machine. It is a cache and nothing more: a
fingerprint follows from the document that has the hash, so one that is missing is made again, and none is ever wrong.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from plait.jobs.ingest.duplicates import Fingerprint
from plait.recipes import IngestRecipe
from plait.settings import settings
from plait.whole_files import write_whole

_VERSION = 1
"""Counts up when the same document gives another fingerprint than before."""

_SCHEMA = pa.schema(
    [("version", pa.string()), ("text", pa.binary()), ("metadata", pa.binary()), ("minhash", pa.binary())]
)


def load_fingerprints(recipe: IngestRecipe) -> dict[str, Fingerprint]:
    """What is known from earlier runs, by content hash."""
    file = _file(recipe)
    if not file.is_file():
        return {}
    try:
        rows = pq.read_table(file, schema=_SCHEMA).to_pylist()
    except (OSError, pa.ArrowException):  # half a file, or none of ours: they are made again
        return {}
    return {row.pop("version"): Fingerprint(**row) for row in rows}


def save_fingerprints(recipe: IngestRecipe, known: Mapping[str, Fingerprint]) -> None:
    """Keep these, and forget all others of this collection and tenant."""
    file = _file(recipe)
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"version": version, **asdict(held)} for version, held in known.items()]
    written = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), written)
    write_whole(file, written.getvalue().to_pybytes())


def _file(recipe: IngestRecipe) -> Path:
    # The kinds have files of their own: an exact fingerprint holds less than a near one.
    scope = f"{_VERSION} {recipe.collection} {recipe.tenant} {recipe.dedup.drop}"
    return settings().local_dir / "fingerprints" / f"{hashlib.sha256(scope.encode()).hexdigest()[:16]}.parquet"
