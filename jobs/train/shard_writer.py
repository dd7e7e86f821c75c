"""Packed rows on their way to disk: gathered into shards, counted, and refused when too many were bad.

In: tables of PACKED_SCHEMA, in order. Out: Parquet files in a folder and the manifest that describes them. It knows
nothing of where rows come from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from plait.errors import DataError
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.shards import SCHEMA, Manifest, shard_name
from plait.jobs.train.sources import DataFile

# `source_rows`: how many rows of the files became this packed row and those after it, up to the next that says so.
PACKED_SCHEMA = SCHEMA.append(pa.field("bad_row", pa.string())).append(pa.field("source_rows", pa.int32()))
_ROWS_A_SHARD = 1024
_BAD_ROWS_SHOWN = 2
_BAD_ROWS_KEPT = 10


@dataclass
class ShardWriter:
    """Gathers packed rows into shards, and counts what goes by."""

    folder: Path
    max_bad_share: float
    shard_rows: list[int] = field(default_factory=list)
    source_rows: int = 0
    examples: int = 0
    tokens: int = 0
    labels: int = 0
    bad_rows: int = 0
    first_bad: list[str] = field(default_factory=list)
    _waiting: list[pa.Table] = field(default_factory=list)
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, table: pa.Table) -> None:
        """Take rows of PACKED_SCHEMA.

        Raises:
            DataError: at the first bad row, when none may be left out.
        """
        bad = table["bad_row"].drop_null().to_pylist()
        self.bad_rows += len(bad)
        self.source_rows += sum(table["source_rows"].to_pylist())
        self.first_bad += bad[: _BAD_ROWS_KEPT - len(self.first_bad)]
        if bad and not self.max_bad_share:
            mend = "Mend it" if len(bad) == 1 else "Mend them"
            raise DataError(f"{self._shown_bad}.", f"{mend}, or set data.max_bad_share to leave such rows out.")
        good = table.filter(table["bad_row"].is_null()).select(SCHEMA.names)
        self._waiting.append(good)
        self._count(good)
        while sum(map(len, self._waiting)) >= _ROWS_A_SHARD:
            rows = pa.concat_tables(self._waiting)
            self._write(rows.slice(0, _ROWS_A_SHARD))
            self._waiting = [rows.slice(_ROWS_A_SHARD)]

    @property
    def _shown_bad(self) -> str:
        return "; ".join(self.first_bad[:_BAD_ROWS_SHOWN])

    def _count(self, rows: pa.Table) -> None:
        lengths, labels = rows["lengths"].combine_chunks().flatten(), rows["labels"].combine_chunks().flatten()
        self.examples += len(lengths)
        self.tokens += len(labels)
        self.labels += int((labels.to_numpy(zero_copy_only=False) != IGNORED).sum())

    def _write(self, rows: pa.Table) -> None:
        rows = rows.combine_chunks()
        for name in SCHEMA.names:
            column = rows[name].combine_chunks()
            self._digest.update(column.flatten().to_numpy(zero_copy_only=False).tobytes())
        pq.write_table(rows, self.folder / shard_name(len(self.shard_rows)))
        self.shard_rows.append(len(rows))

    def finish(self, files: Sequence[DataFile]) -> Manifest:
        """Write what is left; says what there is.

        Raises:
            DataError: for too many bad rows, or nothing to learn from.
        """
        where = f"'{files[0].uri}'" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        good_and_bad = self.source_rows + self.bad_rows
        if self.bad_rows > self.max_bad_share * good_and_bad:
            raise DataError(
                f"{self.bad_rows} of {good_and_bad} rows of {where} cannot be used: {self._shown_bad}.",
                "Mend them, or raise data.max_bad_share.",
            )
        if not self.examples:
            raise DataError(f"{where} holds no examples.", "Write one JSON object a line.")
        if not self.labels:
            raise DataError(f"No example of {where} has an answer to learn from.")
        if self.bad_rows:
            print(f"{self.bad_rows} of {good_and_bad} rows are left out: {self._shown_bad}")
        if rest := pa.concat_tables(self._waiting):
            self._write(rest)
        return Manifest(
            shard_rows=self.shard_rows,
            examples=self.examples,
            tokens=self.tokens,
            labels=self.labels,
            bad_rows=self.bad_rows,
            first_bad=self.first_bad,
            sha256=self._digest.hexdigest(),
        )
